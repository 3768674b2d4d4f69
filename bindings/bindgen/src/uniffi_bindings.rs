//! `uniffi --library FILE --language LANGUAGE --out-dir DIR`: the Python, Kotlin and Swift sources
//! over the UniFFI surface, read from the compiled library.
//!
//! The output depends on the library's surface and on `uniffi.toml` alone: no formatter is run,
//! whatever is installed. The Python module is adapted to live inside of the `wakustore` package,
//! Swift's calls to end with the task that waits for them, and Kotlin and Swift to shut the library
//! down when the process exits; each adaptation must find what it replaces, so that a new generator
//! cannot lose one silently.

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
        match language {
            TargetLanguage::Python => {
                text = adapt_python(text)?;
                name = PathBuf::from(PYTHON_MODULE);
            }
            TargetLanguage::Kotlin => text = adapt_kotlin(text)?,
            TargetLanguage::Swift if path.extension().is_some_and(|e| e == "swift") => {
                text = adapt_swift(text)?;
            }
            _ => {}
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

fn adapt_kotlin(text: String) -> Result<String> {
    let register = "        Native.register(UniffiLib::class.java, \
                    findLibraryName(componentName = \"wakustore\"))\n";
    let hook = "        // A process that exits without a shutdown ends in order all the same.
        try {
            java.lang.Runtime.getRuntime().addShutdownHook(Thread { shutdownAtExit() })
        } catch (_: IllegalStateException) {
            // It is exiting already.
        }
";
    replace(text, register, &format!("{register}{hook}"))
}

/// The generated calls do not see that their task was cancelled, although the library offers what
/// is needed for it.
fn adapt_swift(text: String) -> Result<String> {
    let mut lines = Vec::new();
    let mut calls = 0;
    for line in text.lines() {
        lines.push(line.to_owned());
        let free = line.trim_start().strip_prefix("freeFunc: ffi_wakustore_rust_future_free_");
        if let Some(of_type) = free.and_then(|rest| rest.strip_suffix(',')) {
            let call = format!("ffi_wakustore_rust_future_cancel_{of_type}($0)");
            lines.push(format!("            cancelFunc: {{ {call} }},"));
            calls += 1;
        }
    }
    if calls != text.matches("await uniffiRustCallAsync(").count() {
        return Err("not each asynchronous call of the generated Swift frees its future".into());
    }
    let text = replace(
        lines.join("\n"),
        "    freeFunc: (UInt64) -> (),\n",
        "    freeFunc: (UInt64) -> (),\n    cancelFunc: @escaping @Sendable (UInt64) -> (),\n",
    )?;
    let text = replace_between(
        text,
        "    var pollResult: Int8;\n    repeat {",
        "    return try liftFunc(makeRustCall(",
        SWIFT_POLL,
    )?;
    let text = replace(
        text,
        "            fatalError(\"Cancellation not supported yet\")\n",
        "            throw CancellationError()\n",
    )?;
    replace(
        text,
        "    return InitializationResult.ok\n",
        "    // A process that exits without a shutdown ends in order all the same.\n    \
             atexit { shutdownAtExit() }\n    return InitializationResult.ok\n",
    )
}

/// Polls until the future is ready, which a cancelled one is at once.
const SWIFT_POLL: &str = "    await withTaskCancellationHandler {
        var pollResult: Int8;
        repeat {
            pollResult = await withUnsafeContinuation {
                pollFunc(
                    rustFuture,
                    { handle, pollResult in
                        uniffiFutureContinuationCallback(handle: handle, pollResult: pollResult)
                    },
                    uniffiContinuationHandleMap.insert(obj: $0)
                )
            }
        } while pollResult != UNIFFI_RUST_FUTURE_POLL_READY
    } onCancel: {
        cancelFunc(rustFuture)
    }

";

fn replace(text: String, old: &str, new: &str) -> Result<String> {
    match text.matches(old).count() {
        1 => Ok(text.replacen(old, new, 1)),
        n => Err(format!("the generated source has {n} times, and not once: {old}").into()),
    }
}

fn replace_between(text: String, start: &str, end: &str, new: &str) -> Result<String> {
    let lost = |what: &str| format!("the generated source lacks: {what}");
    let from = text.find(start).ok_or_else(|| lost(start))?;
    let to = from + text[from..].find(end).ok_or_else(|| lost(end))?;
    Ok(format!("{}{new}{}", &text[..from], &text[to..]))
}
