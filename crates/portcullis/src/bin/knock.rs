//! The program `knock`: a drop-in for that of knockd.

fn main() -> std::process::ExitCode {
    portcullis_client::cli::main()
}
