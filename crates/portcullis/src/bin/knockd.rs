//! The program `knockd`: a drop-in for that of knockd.

fn main() -> std::process::ExitCode {
    portcullis::knockd::cli::main()
}
