#include "fuse/errmap.h"

#include <string.h>

/* ENOSYS is not an answer but a switch: to OPEN it would let every later open pass unseen for the life of the
 * mount. */
static int enosys(enum session_op op)
{
	return op == SESSION_OPEN || op == SESSION_OPENDIR || op == SESSION_CREATE ? EIO : EOPNOTSUPP;
}

int reply_errno(enum session_op op, errint_t error)
{
	switch (error) {
	case 0:
		return 0;
	case -ENOSYS:
		return enosys(op);
	case -EBADMSG:
	case -EPROTONOSUPPORT:
		return EIO;
	default:
		return error < 0 && error > -4096 && strerrordesc_np(-error) ? -error : EIO;
	}
}
