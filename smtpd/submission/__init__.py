"""Mail submission (RFC 6409): the door for programs that log in by SMTP, over STARTTLS or implicit TLS.

`server` listens and owns the process's shared state, `protocol` is one connection, put together from the commands
in `greeting`, `authentication` and `transaction`; these share `conversation`, on top of `connection`. `inbound`,
`content`, `paths` and `limits` know nothing of sockets.
"""
