"""
The whole pipeline on one machine, in one command: `make run`.

    __main__      checks first, then nats-server, then the services; stops them in reverse
    processes     commands side by side: their output shown, their end noticed, nothing left over
    nats_server   a local nats-server: which version, configured how, whether it is up
    secured       users and TLS for it, when asked for
    authority     signs the certificate
    programs      what pip does not install: found, or got
    preflight     what must hold before anything starts
"""


class CannotRun(Exception):
    """The pipeline cannot start, or go on. The message is one line for the user."""
