//! The binary: hands over to `cli` and exits with its code.

fn main() -> std::process::ExitCode {
    runbook::cli::main()
}
