/* lapse - one binary; as mount.lapse it is the helper of mount(8), as lapse-exif the reader that a daemon asks about images. */
#include "tools/command.h"

#include "exif/reader.h"

#include <locale.h>
#include <string.h>

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL, *name = slash ? slash + 1 : argc ? argv[0] : "lapse";
	if (!strcmp(name, EXIF_ARGV0))
		return exif_serve(argc > 1 ? argv[1] : "");
	setlocale(LC_ALL, "");
	if (!strcmp(name, "mount.lapse") || !strcmp(name, "mount.fuse.lapse"))
		return mount_helper_main(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "--complete"))
		return complete_main(argc - 2, argv + 2);
	return command_main(argc - 1, argv + 1);
}
