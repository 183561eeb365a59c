"""`denoise serve`: a page on this machine to see, judge and save what the command would make.

A server (`app`) on the loopback interface lets in only the page that it has sent (`safety`). Each
image that the page opens is a session with a private folder and a process of its own (`sessions`,
`child`), which does what the command does (`worker`) with options that the page may choose
(`choices`). The page can have no other file read or written than those in that folder and the
images named on the command line.
"""
