//! Where the root key is kept, and the keys under it.
