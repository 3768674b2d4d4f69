//! Generates what is committed for other languages: `wakustore-bindgen <command> [options]`.

mod abi;
mod header;
mod output;
mod symbols;
mod uniffi_bindings;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let done = match command {
        "abi" => abi::run(rest),
        "header" => header::run(rest),
        "symbols" => symbols::run(rest),
        "uniffi" => uniffi_bindings::run(rest),
        _ => {
            let known = "abi, header, symbols, uniffi";
            Err(format!("unknown command {command:?}; there are: {known}").into())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("wakustore-bindgen: {e}");
            ExitCode::FAILURE
        }
    }
}
