//! Compiles the protobuf definitions without a protoc, and names the shared library.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "proto/message.proto",
        "proto/store.proto",
        "proto/transfer.proto",
        "proto/metadata.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;

    // The soname carries the ABI's major version, as `WKS_ABI_MAJOR` does; the C tests compare.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libwakustore.so.0");
    }
    Ok(())
}
