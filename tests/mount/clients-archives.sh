#!/bin/bash
# Archivers, and programs that change files where they are or save them by a rename: the same on the mount and on the filesystem below.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sides.bash"
sides_archive
mount_archive
sides_tree
# (FIFOs keep no ACL on the mount, and tar says so of each that it extracts with --acls.)
export TAR_OPTIONS='--warning=no-timestamp --exclude=fifo' ALL='--acls --xattrs --xattrs-include=*'

note "archives"
sides_new archives
both "tar, with everything" '
	cp -a "$OTHER/tree" a
	tar $ALL --sparse --sort=name -cf "$OUT/all.tar" a; tar $ALL -tvvf "$OUT/all.tar" | sort
	mkdir x; tar $ALL -xpf "$OUT/all.tar" -C x; same a x/a
	tar --compare $ALL -f "$OUT/all.tar"
	tar -cf t.tar --sort=name a; tar -rf t.tar --sort=name --transform s/acl/more/ a/acl; tar -tf t.tar | sort; tar --delete -f t.tar a/holes; tar -tf t.tar; rm t.tar'
both "tar, from one filesystem to the other" 'tar $ALL -cf - -C "$OTHER" tree | tar $ALL -xpf -; same a tree'
both "tar, incremental" '
	tar -c -g "$OUT/state" -f "$OUT/0.tar" --sort=name tree; sleep 1.1; rm -r tree/acl; echo new >tree/new; mv tree/holes tree/moved
	tar -c -g "$OUT/state" -f "$OUT/1.tar" --sort=name tree; tar -tf "$OUT/1.tar" | sort | sed "/\/$/d"
	mkdir i; tar -x -g /dev/null -f "$OUT/0.tar" -C i; tar -x -g /dev/null -f "$OUT/1.tar" -C i; same tree i/tree'
both "zip, unzip" '
	zip -qry z.zip a/acl/file a/acl/loop a/holes; zip -q z.zip tree/new; unzip -tqq z.zip; unzip -Z1 z.zip; zip -qd z.zip tree/new; zip -qu z.zip tree/new
	mkdir u; unzip -qo z.zip -d u; unzip -qo z.zip -d u; same a/holes u/a/holes; rm z.zip'
both "cpio, gzip" 'find tree -depth -print0 | sort -z | cpio -0 --quiet -o -H newc >"$OUT/c.cpio"; mkdir p; (cd p; cpio --quiet -idm --no-absolute-filenames <"$OUT/c.cpio" ); gzip -k a/holes/sparse; gunzip -c a/holes/sparse.gz | cmp - a/holes/sparse; gzip -t a/holes/sparse.gz; rm a/holes/sparse.gz'

note "changing"
sides_new changes
both "dd, also past the page cache" '
	dd if="$OTHER/tree/holes/sparse" of=d bs=4096 oflag=direct iflag=direct conv=fsync 2>&1 | sed 2q
	head -c 262144 /dev/zero | tr "\0" z >z; dd if=z of=o bs=64K iflag=direct oflag=direct 2>&1 | sed 2q; cmp z o
	printf over | dd of=o bs=1 seek=100000 conv=notrunc,fdatasync status=none; dd if=o of=p bs=512 skip=195 count=1 iflag=direct status=none; grep -c over p
	dd if=/dev/zero of=o bs=4096 seek=8 count=2 oflag=direct conv=notrunc status=none; dd if=z of=o bs=1000 oflag=append conv=notrunc status=none
	! dd if=nowhere of=q; ! dd if=z of=o/q'
both "sed -i, perl -i, truncate, split, sort -o, tee, patch" '
	seq 20000 >s; chmod 640 s; chown 1234:1235 s; ln s hard; ln -s s soft; sed -i.bak "s/7/seven/g; 3d" s; sed -i --follow-symlinks 1d soft; sed -i 1d soft; ! sed -i 1d nowhere
	seq 20000 >e; perl -pi.orig -e "s/9/nine/" e; sort -ro e e; truncate -s +5000 e; truncate -s 100 e.orig; split -n 7 e e.; cat e.?? | cmp - e
	seq 9 | tee -a e e2 >/dev/null; sed "s/5/five/" hard >h2; diff -u hard h2 >"$OUT/p" || true; patch -b hard "$OUT/p"; cmp hard h2; shuf -n 3 --random-source=e e >/dev/null
	shred -n 1 -u e2; mkdir w; csplit -s -f w/c h2 1000 2000; wc -c w/*; sponge=$(cat h2); echo "$sponge" >h2; comm -12 hard h2 | wc -l'
both "an editor that saves by rename, with a backup" '
	seq 5000 >t; chmod 660 t; chown 1234:1235 t; setfattr -n user.comment -v kept t; ln t t.link
	vim.tiny -Nesu NONE -i NONE -c "set backup backupcopy=no swapfile fsync" -c "%s/1/one/g" -c wq t
	seq 5000 >u; ln -s u u.soft; vim.tiny -Nesu NONE -i NONE -c "set backup backupcopy=yes swapfile fsync" -c "g/5/d" -c wq u.soft
	vim.tiny -Nesu NONE -i NONE -c "set nowritebackup nobackup noswapfile" -c "normal Gonew" -c "x" u
	vim.tiny -Nesu NONE -i NONE -c "set backup backupcopy=auto" -c "normal Goagain" -c "wq" t; ls -A'
both "git: worktree, push, stash, repack" '
	export HOME=$OUT GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE="2026-01-01T00:00:00Z" GIT_COMMITTER_DATE="2026-01-01T00:00:00Z"
	git config --global user.email t@example.org; git config --global user.name t; git config --global init.defaultBranch main; git config --global core.fsync all
	git init -q --bare g.git; git clone -q g.git g 2>/dev/null; cd g; for i in 1 2 3 4 5 6; do seq $((i * 900)) >f$i; git add .; git commit -qm $i; done; git push -q origin main; git tag -a v1 -m v1
	git worktree add -q ../wt -b side 2>/dev/null; echo w >../wt/f1; git -C ../wt commit -qam side; git merge -q --no-edit side; echo s >>f2; git stash -q; git stash pop -q; git checkout -q f2; git mv f3 f33; git commit -qm mv
	git push -q origin main side; git -C ../g.git repack -qad; git -C ../g.git fsck --strict --no-progress; git rev-parse HEAD; git status --porcelain; git log --oneline | cat; git grep -c 17 | head -n 3
	git archive HEAD | sha256sum; git worktree remove ../wt; cd ..; rm -rf g g.git'

note "and after a remount"
umount_archive
mount_archive
for name in archives changes; do
	sides_new $name
	sides_same "$name after a remount"
done
umount_archive
