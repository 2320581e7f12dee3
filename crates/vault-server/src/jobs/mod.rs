//! Work without a caller: collecting garbage, expiring uploads, closing dead sessions.
