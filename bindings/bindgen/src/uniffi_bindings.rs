//! `uniffi --library FILE --language LANGUAGE --out-dir DIR`: the Python, Kotlin and Swift sources
//! over the UniFFI surface, read from the compiled library.
//!
//! The output depends on the library's surface and on `uniffi.toml` alone: no formatter is run,
//! whatever is installed. The Python module is adapted to live inside of the `wakustore` package;
//! each adaptation must find what it replaces, so that a new generator cannot lose one silently.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use uniffi::{GenerateOptions, TargetLanguage, generate};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The name of the generated module within the Python package.
const PYTHON_MODULE: &str = "_generated.py";

struct Options {
    library: String,
    language: TargetLanguage,
    out_dir: PathBuf,
}

/// Runs the command.
pub fn run(args: &[String]) -> Result<()> {
    let options = parse(args)?;
    if !Path::new(&options.library).is_file() {
        return Err(format!("there is no library at {}", options.library).into());
    }
    // Into a directory of its own first: only what was generated is touched up and copied.
    let fresh = options.out_dir.join(".generating");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let fresh_path = fresh.to_str().ok_or("the output directory's path is not UTF-8")?;
    let generated = generate(GenerateOptions {
        languages: vec![options.language.clone()],
        source: options.library.as_str().into(),
        out_dir: fresh_path.into(),
        config_override: None,
        format: false,
        crate_filter: Some("wakustore".into()),
        metadata_no_deps: true,
    })
    .map_err(|e| format!("{e:#}").into())
    .and_then(|()| publish(&fresh, &options.out_dir, &options.language));
    fs::remove_dir_all(&fresh)?;
    generated
}

fn parse(args: &[String]) -> Result<Options> {
    let (mut library, mut language, mut out_dir) = (None, None, None);
    let mut args = args.iter();
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--library" => library = Some(value.clone()),
            "--out-dir" => out_dir = Some(PathBuf::from(value)),
            "--language" => {
                language = Some(match value.as_str() {
                    "python" => TargetLanguage::Python,
                    "kotlin" => TargetLanguage::Kotlin,
                    "swift" => TargetLanguage::Swift,
                    _ => return Err(format!("no bindings for the language {value:?}").into()),
                });
            }
            _ => return Err(format!("unknown option {name:?}").into()),
        }
    }
    Ok(Options {
        library: library.ok_or("--library is missing")?,
        language: language.ok_or("--language is missing")?,
        out_dir: out_dir.ok_or("--out-dir is missing")?,
    })
}

/// Copies the generated files, without blanks at the ends of lines.
fn publish(from: &Path, to: &Path, language: &TargetLanguage) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().ok_or("a file without a name was generated")?;
        if path.is_dir() {
            let below = to.join(name);
            fs::create_dir_all(&below)?;
            publish(&path, &below, language)?;
            continue;
        }
        let mut text = fs::read_to_string(&path)?;
        let mut name = PathBuf::from(name);
        if matches!(language, TargetLanguage::Python) {
            text = adapt_python(text)?;
            name = PathBuf::from(PYTHON_MODULE);
        }
        let mut clean: String = text.lines().map(|l| format!("{}\n", l.trim_end())).collect();
        clean.truncate(clean.trim_end().len() + 1);
        fs::write(to.join(name), clean)?;
    }
    Ok(())
}

fn adapt_python(text: String) -> Result<String> {
    let text = replace_between(
        text,
        "def _uniffi_load_indirect():\n",
        "def _uniffi_check_contract_api_version",
        // The package knows where its library is.
        "def _uniffi_load_indirect():\n    from ._library import load\n    return load()\n\n",
    )?;
    let text = replace(
        text,
        "    eventloop.call_soon_threadsafe(_uniffi_set_future_result, future, poll_code)\n",
        // A loop that was closed with calls in flight has nobody left who waits for them.
        "    try:\n        \
             eventloop.call_soon_threadsafe(_uniffi_set_future_result, future, poll_code)\n    \
         except RuntimeError:\n        \
             if not eventloop.is_closed():\n            \
                 raise\n",
    )?;
    // A library of another build is told apart at once, and not by a crash later.
    replace(
        text,
        "\n# _uniffi_check_api_checksums(_UniffiLib)\n",
        "\n_uniffi_check_api_checksums(_UniffiLib)\n",
    )
}

fn replace(text: String, old: &str, new: &str) -> Result<String> {
    match text.matches(old).count() {
        1 => Ok(text.replacen(old, new, 1)),
        n => Err(format!("the generated Python has {n} times, and not once: {old}").into()),
    }
}

fn replace_between(text: String, start: &str, end: &str, new: &str) -> Result<String> {
    let lost = |what: &str| format!("the generated Python lacks: {what}");
    let from = text.find(start).ok_or_else(|| lost(start))?;
    let to = from + text[from..].find(end).ok_or_else(|| lost(end))?;
    Ok(format!("{}{new}{}", &text[..from], &text[to..]))
}
