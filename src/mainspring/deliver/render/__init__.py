"""From a project to the files of a platform team: one module a kind of file, each a pure `files(subject) -> Files`.

`subject.Subject` is all that a renderer may know; `content` says what a file is made of (objects that are dumped, or
text); `kubernetes` has the few words that all objects share. `flows.render` collects, heads and compares; nothing here
reads a clock, a disk or another layer. Start at `tree.rendered`.
"""
