"""Bytes that a researcher wrote are parsed here: apart from the portal, one process per file, in a sandbox (ADR 34).

``files`` is what the rest of the package uses. Outside: ``helper`` (start, ask, end), ``turns`` (who waits for whom),
``answers`` (what is believed). Inside: ``inside`` (the process that waits, and those it makes), ``confinement``,
``work``, ``rendering``.
"""
