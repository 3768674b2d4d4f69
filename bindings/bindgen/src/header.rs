//! `wakustore-bindgen header`: include/wakustore.h from the sources of the C ABI, by cbindgen.
//!
//! The exports are literal, so no macro needs to be expanded: each source file is read as it is.

use crate::output::{Options, Result, put, root};

/// In the order of a reader's interest, which becomes the header's.
const FILES: [&str; 27] = [
    "status",
    "error",
    "bytes",
    "version",
    "user",
    "op",
    "queue",
    "message",
    "query",
    "page",
    "archive_options",
    "validator",
    "archive",
    "retention",
    "changes",
    "history",
    "store",
    "node_options",
    "node",
    "sync",
    "events",
    "health",
    "log",
    "shutdown",
    "guard",
    "handle",
    "memory",
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    put("include/wakustore.h", &generate()?, options.check)
}

/// The header's text.
pub(crate) fn generate() -> Result<String> {
    let sources = root().join("src/ffi/c");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&sources)? {
        let path = entry?.path();
        // Read as it is, mod.rs would bring the others in a second time.
        if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("mod.rs") {
            files.push(path);
        }
    }
    let place = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (FILES.iter().position(|f| *f == name).unwrap_or(FILES.len()), name)
    };
    files.sort_by_key(place);

    let config = root().join("bindings/bindgen/cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(cbindgen::Config::from_file(
        config.to_str().ok_or("the path of cbindgen.toml is not UTF-8")?,
    )?);
    for file in files {
        builder = builder.with_src(file);
    }
    let mut text = Vec::new();
    builder.generate()?.write(&mut text);
    let text = String::from_utf8(text)?;
    let (body, end) = text.rsplit_once(END).ok_or("the header does not end in its guard")?;
    Ok([body, HELPERS, END, end].concat())
}

/// What cbindgen ends the header with.
const END: &str = "#endif  /* WAKUSTORE_H */";

/// What is not an export, but only for those who write C.
const HELPERS: &str = "\
/**
 * The bytes of a C string, without its NUL: for the inputs of this header. Null gives none.
 */
static inline wks_bytes wks_str(const char *text)
{
    wks_bytes bytes;
    bytes.ptr = (const uint8_t *)text;
    bytes.len = text ? strlen(text) : 0;
    return bytes;
}

";

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_header_is_that_of_the_sources() {
        super::run(&["--check".to_owned()]).unwrap();
    }
}
