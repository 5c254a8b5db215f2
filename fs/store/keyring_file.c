#include "store/internal.h"

#include "base/io.h"

#include <string.h>

uint64_t machine_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

errint_t keyring_file_read(
	int lapse_fd, const char *name, struct keyring *ret, uint8_t **ret_bytes, size_t *ret_len, struct fault *f)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	errint_t r = io_read_file(lapse_fd, name, KEYRING_MAX_BYTES, &bytes, &len);
	if (r == -ENOENT)
		return r;
	if (r)
		return fault_set(f, r, ".lapse/%s cannot be read: %s", name, strerror(-r));
	r = keyring_decode(bytes, len, ret);
	if (r == -EPROTONOSUPPORT)
		return fault_set(f, r,
			"the archive needs lapse %s or later, or was made by another kind of build (features %#x); "
			"this is lapse %s",
			ret->needs, ret->features, LAPSE_VERSION);
	if (r)
		return fault_set(
			f, r, ".lapse/%s is damaged or not a keyring. Restore it from a backup of the store", name);
	*ret_bytes = steal_ptr(&bytes);
	*ret_len = len;
	return 0;
}
