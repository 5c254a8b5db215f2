#!/bin/bash
# Copying, moving, looking and comparing, each on the mount and on the filesystem below: the same results, messages and exit codes.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sides.bash"
sides_archive
mount_archive
sides_tree

note "copies"
sides_new copies
both "cp -a" 'cp -a "$OTHER/tree" a; cp -a a b'
both "rsync -aHAX" 'rsync -aHAX --itemize-changes "$OTHER/tree/" r/; rsync -aHAX --itemize-changes a/ r/; rsync -aHAXn --checksum --itemize-changes "$OTHER/tree/" r/'
both "rsync --inplace, --append, --delete" '
	find r -type f -name "*7.jpg" -exec sh -c "printf changed | dd of=\"\$1\" bs=1 seek=11 conv=notrunc status=none; touch \"\$1\"" - {} \;
	find r -type f -name "*3.jpg" -size +2k -exec truncate -s 1500 {} \;
	rm -r r/acl; mkdir r/extra; echo x >r/extra/x
	rsync -aHAX --append --itemize-changes --include="*/" --include="*3.jpg" --exclude="*" a/ r/
	rsync -aHAX --inplace --no-whole-file --checksum --delete --itemize-changes a/ r/
	same a r'
both "cp: refused, and asked" 'echo 1 >one; ! cp one nowhere/one; ! cp -n one b/acl; ! cp b one; cp -l one two; ! cp one two; cp --remove-destination one two; cp -s one three; cp --sparse=always a/holes/sparse s'
both "install" 'install -d -m 2750 -o 1234 -g 1235 i/j; install -m 4711 -o 1234 one i/j/one; install -p -b a/acl/file i/j/one; install -C one i/j/two; ! install one nowhere/'
both "mv, also from one filesystem to the other and back" '
	mkdir m; mv one m; mv two three m; mv m n; mv -b n/one n/two; ! mv n n/two; ! mv -T i n
	mv b "$OUT/b"; mv -T "$OUT/b" back; rm back/acl/one; same a back; mv r s "$OUT"; mv "$OUT/r" .'
both "rm, rmdir" '! rmdir a; ! rm a; rm -r back; ! rm back; rm -f back; mkdir -p x/y/z; rmdir -p x/y/z; mkfifo f; rm f; ! mkdir a; ! ln n/two a/acl/file; ln -sf a n/three; ! cat n/three; ! touch nowhere/x'

note "looking"
both "find" '
	touch -d "2020-01-01" mark
	find . -type f -size +8k -printf "%p %s\n" | sort
	find . -type f -newer mark -printf "%p\n" | sort
	find . -perm -4000 -printf "%p %m\n" | sort; find . -perm /022 ! -type l -printf "%p %m %U %G\n" | sort
	find . ! -type d -links +1 -printf "%p %n\n" | sort
	find . -empty -type f | sort; find . -type l -printf "%p %l\n" | sort; find . -xtype l 2>&1 | sort; find . -user 1234 | sort
	find . -samefile "$(find r -type f -links +1 | sort | head -n 1)" | sort
	find a -depth -name "*5.jpg" -delete; find a -name "*5.jpg"'
both "du, apparently" 'find a r -type f -print0 | du --files0-from=- --apparent-size --bytes | sort; find a r -type f -print0 | du --files0-from=- --apparent-size --bytes -c | tail -n 1'
both "ls, stat, file" 'ls -1R . | sort; ls -lR --time-style=full-iso a r | sed "/^total/d; /^d/d" | sort; stat -c "%n %F %s %a %U %Y %N" a/*/* | grep -v directory | sort; stat -c %i a >/dev/null'
both "diff, cmp, md5sum -c" '
	find r -type f -print0 | sort -z | xargs -0 md5sum >sums; md5sum -c --quiet sums
	echo more >>r/acl/file; ! same -q a r; ! cmp a/acl/file r/acl/file; ! md5sum -c --quiet sums; getfacl -p a/acl a/acl/file; getfattr -d a/acl a/acl/file; sha256sum r/acl/file'
python3 - "$SIDE" <<'P'
import os, sys
for where, _, files in os.walk(sys.argv[1]):
    for f in files:
        s = os.lstat(os.path.join(where, f))
        held = s.st_blocks * 512
        assert held <= s.st_size + (32 << 10), (where, f, s.st_size, held)
        assert held >= s.st_size or "sparse" in f or s.st_size < 4096 or os.path.islink(os.path.join(where, f)), (where, f, s.st_size, held)
P

note "and after a remount"
umount_archive
mount_archive
sides_new copies
sides_same "after a remount"
umount_archive
