//! The project's own chores: `cargo xtask test | walls | bench | fuzz | release`.

mod bench;
mod count;
mod deny;
mod fuzz;
mod msrv;
mod peers;
mod release;
mod run;
mod test;
mod tests;
mod walls;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE

  test            everything that must hold: format, lints, docs, walls, the build without std, fuzz targets, all
                  tests
  walls           what no crate may come to depend on; a part of test
  bench           what it costs, as ratios against peers measured in the same run
  bench timing    whether the time to an answer tells guarded ports from closed ones
  bench PROGRAM   what a packet costs beside another version of portcullis
  fuzz [SECONDS]  each fuzz target for so long (60); needs nightly and cargo-fuzz
  release         whether this commit can be released (docs/RELEASE.md); changes nothing

exit codes: 0 done, 1 something failed or is not ready, 2 wrong use, 3 could not be checked (release)
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let done = match (args.next().as_deref(), args.next()) {
        (Some("test"), None) => test::run(),
        (Some("walls"), None) => walls::run().failed == 0,
        (Some("bench"), None) => bench::run(),
        (Some("bench"), Some(what)) if what == "timing" => bench::timing(),
        (Some("bench"), Some(program)) => bench::beside(&program),
        (Some("release"), None) => return release::run(),
        (Some("fuzz"), seconds) => fuzz::run(seconds.as_deref().unwrap_or("60")),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
