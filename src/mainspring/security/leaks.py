"""Find credentials by the forms that their issuers give them, in any text. Pure; what is found is never shown.

Forms are the issuers' own (prefix and length), so a match is hardly ever chance; a password that has no form is not
found. A line that says `mainspring: allow secret-inline because REASON` is excused, as in the policy lint.
"""

import re

from mainspring.kernel.digests import digest_bytes

KNOWN = re.compile(
    r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|sk-[A-Za-z0-9_-]{16,}|sk_(live|test)_\w{16,}|AIza[\w-]{30,}|hv[sb]\.[\w-]{20,}"
    r"|npm_\w{30,}|-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.|hooks\.slack\.com/services/"
)


_EXCUSED = re.compile(r"mainspring: allow secret-inline because \S")


def leaks(data: bytes) -> list[tuple[int, str]]:
    """Return (line from 1, digest of the credential) of each that is found; [] for bytes that are no text."""
    if b"\0" in data[:8_000]:
        return []
    return [
        (number, digest_bytes(found[0].encode("utf-8")))
        for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1)
        for found in KNOWN.finditer(line)
        if not _EXCUSED.search(line)
    ]
