//! it

mod ssh_keygen;
