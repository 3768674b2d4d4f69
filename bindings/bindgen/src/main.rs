//! Generates what is committed for other languages: `wakustore-bindgen <command> [options]`.

mod uniffi_bindings;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let done = match command {
        "uniffi" => uniffi_bindings::run(rest),
        _ => Err(format!("unknown command {command:?}; there is: uniffi").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("wakustore-bindgen: {e}");
            ExitCode::FAILURE
        }
    }
}
