//! The `rig` command.

fn main() -> std::process::ExitCode {
    rig::cli::main()
}
