//! What a user sees: the binary, real processes, real files.
