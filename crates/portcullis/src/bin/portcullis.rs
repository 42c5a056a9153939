//! The program `portcullis`.

fn main() -> std::process::ExitCode {
    portcullis::cli::main()
}
