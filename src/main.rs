//! The `rig` command.

/// Many small pieces that are given back in another order than they were taken, thirty of them for each operation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rig::cli::main()
}
