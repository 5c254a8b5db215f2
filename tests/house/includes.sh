#!/bin/bash
# Who may include whom (DESIGN section 10). CMake's include directories see to most of it
# between rooms; this sees to what they cannot: relative ways around, and third-party
# headers that lie in /usr/include for everybody.
set -u
cd "$LAPSE_SOURCE" || exit 1
bad=0

# only HEADER-REGEX PATH-REGEX: lines that include HEADER outside of PATH are wrong.
only() {
	local found
	found=$(grep -rnE --include='*.[ch]' "^[ \t]*#[ \t]*include[ \t]*[<\"]($1)" policy fs tools tests 2>/dev/null |
		grep -vE "^($2)")
	[ -z "$found" ] && return
	echo "Only $2 may include $1:"
	echo "$found"
	bad=1
}

only '\.\./' 'tests/'
only 'fuse_lowlevel\.h|fuse\.h|fuse3/|fuse_[a-z]+\.h' 'fs/fuse/|tests/bench/'
only 'seccomp\.h' 'fs/fuse/|fs/exif/confine'
only 'libexif/' 'fs/exif/stamp'
only 'sqlite3\.h' 'fs/store/catalogue|tests/unit/'
only 'ini\.h' 'policy/parse'
only 'sodium' 'fs/crypt/|fs/base/secret|tests/'
only 'libsmartcols|jansson' 'tools/|tests/unit/'
only 'criterion/' 'tests/unit/'

only 'base/' 'fs/|tools/|tests/'
only 'policy/' 'policy/|fs/store/|fs/ctl/|fs/fuse/|tools/|tests/'
only 'exif/' 'fs/exif/|fs/store/|tools/lapse|tests/'
only 'crypt/' 'fs/crypt/|fs/store/|tests/'
only 'store/' 'fs/store/|fs/ctl/|fs/fuse/|tools/|tests/'
only 'ctl/' 'fs/ctl/|fs/fuse/|tools/|tests/'
only 'fuse/' 'fs/fuse/|tools/cmd_mount|tools/mount|tests/'
only 'tools/' 'tools/|tests/'
exit $bad
