"""Mail that comes back: reports on what we sent, to the addresses that it left from (RFC 3464).

`server` listens, on a port that is closed unless an operator opens it; `protocol` is one connection, put together
from what submission's are; `head` keeps of a message what a report can be in.
"""
