//! `wakustore-bindgen abi`: include/wakustore.abi, the layout of the header's structs and the
//! values of its constants, as the C compiler sees them.

use std::process::Command;

use crate::header;
use crate::output::{Options, Result, put, root};

/// What is in the header, by name.
#[derive(Default)]
struct Names {
    /// Each with its fields.
    structs: Vec<(String, Vec<String>)>,
    constants: Vec<String>,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let program = program(&names(&header::generate()?)?);
    let dir = std::env::temp_dir().join(format!("wakustore-abi-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let layout = compile_and_run(&dir, &program);
    std::fs::remove_dir_all(&dir)?;
    put("include/wakustore.abi", &layout?, options.check)
}

/// The structs and constants of the header, whose form is cbindgen's own and regular.
fn names(header: &str) -> Result<Names> {
    let mut out = Names::default();
    let mut open: Option<(String, Vec<String>)> = None;
    let mut in_enum = false;
    let mut in_comment = false;
    for line in header.lines().map(str::trim) {
        if line.starts_with("/*") || in_comment {
            in_comment = !line.ends_with("*/");
        } else if let Some(rest) = line.strip_prefix("#define WKS_") {
            out.constants.extend(rest.split_whitespace().next().map(|n| format!("WKS_{n}")));
        } else if let Some(rest) = line.strip_prefix("typedef struct ") {
            open = Some((rest.trim_end_matches('{').trim().to_owned(), Vec::new()));
        } else if line.starts_with("enum wks_") {
            in_enum = true;
        } else if line.starts_with('}') {
            out.structs.extend(open.take());
            in_enum = false;
        } else if let Some((_, fields)) = &mut open {
            let field = line.trim_end_matches(';').split('[').next().unwrap_or_default();
            let name = field.rsplit([' ', '*']).next().unwrap_or_default();
            fields.extend((!name.is_empty()).then(|| name.to_owned()));
        } else if in_enum && line.starts_with("WKS_") {
            out.constants.extend(line.split([' ', ',']).next().map(str::to_owned));
        }
    }
    if out.structs.is_empty() || out.constants.is_empty() || open.is_some() {
        return Err("the header has not the form that this reads".into());
    }
    out.structs.sort();
    Ok(out)
}

/// A C program that prints the layout.
fn program(names: &Names) -> String {
    let mut out = String::from(
        "#include <stdio.h>\n#include \"wakustore.h\"\n\
         #define ALIGN(t) offsetof(struct { char c; t x; }, x)\n\
         #define SIZE(t, f) sizeof(((t *)0)->f)\nint main(void)\n{\n\
         printf(\"# Layout of the structs, in bytes, where pointers have %zu, and the constants.\\n\\n\", sizeof(void *));\n",
    );
    for (name, fields) in &names.structs {
        out += &format!(
            "printf(\"struct {name} size %zu align %zu\\n\", sizeof({name}), (size_t)ALIGN({name}));\n"
        );
        for field in fields {
            out += &format!(
                "printf(\"  {field} at %zu size %zu\\n\", offsetof({name}, {field}), SIZE({name}, {field}));\n"
            );
        }
    }
    out += "printf(\"\\n\");\n";
    for name in &names.constants {
        out += &format!("printf(\"{name} %llu\\n\", (unsigned long long)({name}));\n");
    }
    out + "return 0;\n}\n"
}

fn compile_and_run(dir: &std::path::Path, program: &str) -> Result<String> {
    let (source, binary) = (dir.join("abi.c"), dir.join("abi"));
    std::fs::write(&source, program)?;
    std::fs::write(dir.join("wakustore.h"), header::generate()?)?;
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(&cc)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(dir)
        .arg(&source)
        .arg("-o")
        .arg(&binary)
        .current_dir(root())
        .status()
        .map_err(|e| format!("{cc} cannot be run: {e}"))?;
    if !status.success() {
        return Err(format!("{cc} does not take the header").into());
    }
    let run = Command::new(&binary).output()?;
    if !run.status.success() {
        return Err("the program that prints the layout failed".into());
    }
    Ok(String::from_utf8(run.stdout)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_layout_is_that_of_the_header() {
        super::run(&["--check".to_owned()]).unwrap();
    }
}
