"""What people and the runner do to output requests: one verb, one function, one transaction, one audit event.

Every function records first and commits after (``enclave.portal.record.audited_change``); every refusal is recorded as
``output-request:refused``. Rules are asked in ``egress_review.domain``; nothing here decides by itself.
"""
