/* run_unnamed.c - acts on files that have no name yet. */
#include "run_internal.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>

struct open_file do_tmpfile(struct run *r, const char *dir)
{
	char below[STORY_PATH];
	const char *name;
	struct fs_entry e;
	struct open_file f;
	struct file file = {.type = S_IFREG, .expires_ns = INT64_MAX};
	uint32_t begin = run_here(r);
	snprintf(below, sizeof below, "%s%s.", dir, *dir ? "/" : "");
	struct inode *parent = run_parent_of(r, below, &name);
	run_must("O_TMPFILE", fs_tmpfile(r->archive, parent, 0644, O_RDWR, &who, &e, &f.handle));
	run_give_back(r, parent);
	f.inode = e.inode;
	f.file = story_file(&r->story, &file);
	run_look_now(r, f.file, begin, 0644, "");
	return f;
}

void do_name(struct run *r, struct open_file f, const char *path)
{
	const char *name;
	struct fs_entry e;
	struct inode *dir = run_parent_of(r, path, &name);
	struct step s = run_step_begin(r, STEP_ENTRY, path, NULL);
	run_must(path, fs_link(r->archive, f.inode, dir, name, &who, &e));
	fs_forget(r->archive, e.inode, 1);
	run_give_back(r, dir);
	s.file = f.file;
	run_step_end(r, &s);
	struct promise p = {.since = run_here(r), .file = f.file, .steps = r->story.steps};
	for (uint32_t i = 0; i < r->story.promises; i++)
		if (r->story.promise[i].file == f.file) {
			p.changes = r->story.promise[i].changes;
			p.looks = r->story.promise[i].looks;
		}
	if (p.changes)
		story_promise(&r->story, &p);
}
