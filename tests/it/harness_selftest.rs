//! The harness tested by itself, with `curl` and raw sockets as clients.
