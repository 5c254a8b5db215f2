/* What a program is told, and above all what the kernel must never be told. */
#include "fuse/errmap.h"

#include <criterion/criterion.h>
#include <string.h>

Test(reply, success_is_zero)
{
	for (int op = 0; op < SESSION_OPS; op++)
		cr_assert_eq(reply_errno((enum session_op)op, 0), 0);
}

/* One ENOSYS to OPEN lets every later open of the mount pass without asking: reads that nobody counts. */
Test(reply, enosys_never_leaks)
{
	for (int op = 0; op < SESSION_OPS; op++) {
		int e = reply_errno((enum session_op)op, -ENOSYS);

		if (op == SESSION_OPEN || op == SESSION_OPENDIR || op == SESSION_CREATE)
			cr_assert_eq(e, EIO, "op %d: %d", op, e);
		else
			cr_assert_eq(e, EOPNOTSUPP, "op %d: %d", op, e);
	}
}

Test(reply, damage_is_an_input_output_error)
{
	cr_assert_eq(reply_errno(SESSION_READ, -EBADMSG), EIO);
	cr_assert_eq(reply_errno(SESSION_OPEN, -EBADMSG), EIO);
	cr_assert_eq(reply_errno(SESSION_OPEN, -EPROTONOSUPPORT), EIO);
}

Test(reply, the_words_of_the_house_pass)
{
	static const int words[] = {ENOENT, EACCES, EPERM, EDQUOT, EKEYEXPIRED, ENOKEY, ENOSPC, EXDEV, EFBIG,
		ENAMETOOLONG, ESTALE, ENODATA, ENOTEMPTY, EEXIST, ERANGE, EIO, ENOMEM, EAGAIN, EINVAL, EBADF, ENOTDIR,
		EOPNOTSUPP};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (int op = 0; op < SESSION_OPS; op++)
			cr_assert_eq(reply_errno((enum session_op)op, -words[i]), words[i]);
}

/* libfuse answers ERANGE for what is no errno, and a positive "error" is a mistake of ours. */
Test(reply, nonsense_is_an_input_output_error)
{
	static const int nonsense[] = {1, 38, 4096, -512, -133 - 400, -4095, -4096, -100000, INT32_MIN};

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		cr_assert_eq(reply_errno(SESSION_OPEN, nonsense[i]), EIO, "%d", nonsense[i]);
}
