//! Compiles the protobuf definitions without a protoc.

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
    Ok(())
}
