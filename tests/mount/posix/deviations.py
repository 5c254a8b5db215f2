"""Where the mount differs from ext4: case, pattern of labels, what is seen on the mount (None: whatever), and the reason. README lists the same. A row that matches
no difference any more fails the test."""
NODES = "device nodes have no place in an archive"
NO_HOLES = "there are no holes: every block is sealed"
SPECIAL = "extended attributes of files and directories only"
KILLPRIV = "the kernel's FUSE sends no request for a chown to -1:-1 (and so checks nothing)"
GROUPS = "set-gid without execution by the group stays: who writes is not known by his groups there"
KNOWN = [
    ("data_seek", "sparse: *", None, NO_HOLES),
    ("data_fallocate", "punch of *", None, NO_HOLES),
    ("data_fallocate", "zero* of *", None, NO_HOLES),
    ("data_fallocate", "collapse of *", None, NO_HOLES),
    ("data_fallocate", "insert of *", None, NO_HOLES),
    ("map_beyond_the_end", "is zero when the file grows", None, "the kernel's FUSE writes out what a mapping wrote behind the end when the file grows over it"),
    ("map_beyond_the_end", "content", None, "the same"),
    ("open_direct", "a size that is not aligned", 100, "O_DIRECT needs no alignment"),
    ("open_and_deleted_fifo", "*", "ESTALE", "of a FIFO or socket without a name nothing is left in the store"),
    ("open_special_nodes", "*chr", None, NODES),
    ("open_special_nodes", "*blk", None, NODES),
    ("rename_errnos", "whiteout", "EINVAL", "a whiteout is a device node"),
    ("rename_errnos", "listed", None, "what the whiteout left"),
    ("permission_setid_cleared", "* chown -1 by *", None, KILLPRIV),
    ("permission_setid_cleared", "* after chown -1 by *", None, KILLPRIV),
    ("permission_setid_cleared", "2666 after * by other", None, GROUPS),
    ("xattr_user", "name 'user.nnnnnnn' 255", "ERANGE", "a sealed name is longer"),
    ("xattr_user", "get 'user.nnnnnnn' 255", "ENODATA", "the same"),
    ("xattr_trusted", "[ps] trusted.*", None, SPECIAL),
    ("time_of_operations", "chown of nothing: d/f", "-", KILLPRIV),
    ("acl_set_gid", "inside after setfacl", "-rwxrwxr-x 1 30001:30003 1", "which groups an owner is in is told by the name service, not by the process that sets a list"),
    ("flag_statx", "? birth", False, "times of birth are the store's, which imports, restores and renames of symlinks set anew"),
    ("flag_control_calls", "flags: *", "ENOTTY", "flags of inodes (chattr) are the store's"),
    ("flag_control_calls", "extents", "ENOTSUP", "where blocks lie on the disk is the store's"),
    ("flag_of_one_call", "read NOWAIT", "ENOTSUP", "the kernel's FUSE has no reads that do not wait"),
    ("flag_far_away", "two GiB at once: *", "EFBIG", "what lies between is written as zeros, 1 GiB at a time"),
    ("flag_read_times", "f *", False, "reading moves no atime: who read is on the record, and a header is not written for it"),
    ("flag_path_only", "symlink without a name: stat", "ESTALE", "of a symlink without a name nothing is left in the store"),
    ("flag_path_only", "symlink without a name: chown", "ESTALE", "the same"),
]
