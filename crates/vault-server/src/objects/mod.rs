//! Bytes of media and of the published log in an object store.
