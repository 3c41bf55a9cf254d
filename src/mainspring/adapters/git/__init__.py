"""Release files in a git repository, read and written by plumbing: no hook, filter, pager or work tree takes part."""
