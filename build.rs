//! Generates everything that derives from `proto/`: message types, client and
//! server, the wire-walk tables, the catalog, and the descriptor set. Embeds the page of `web/dist`.
#![allow(clippy::indexing_slicing, reason = "a build script that panics fails the build")]

#[path = "build/catalog.rs"]
mod catalog;
#[path = "build/codegen.rs"]
mod codegen;
#[path = "build/retype.rs"]
mod retype;
#[path = "build/tables.rs"]
mod tables;
#[path = "build/web_files.rs"]
mod web_files;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;

const PROTO_ROOT: &str = "proto";
/// The page, as browsers get it.
const WEB_ROOT: &str = "web/dist";

fn main() {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed={WEB_ROOT}");
    if let Err(error) = generate() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn generate() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let sources = sources(Path::new(PROTO_ROOT))?;
    let encoded = compile(&sources)?;
    let pool = DescriptorPool::decode(encoded.as_slice())?;

    std::fs::write(out.join("descriptor_set.bin"), &encoded)?;
    let types = catalog::read(&pool)?;
    std::fs::write(out.join("catalog.rs"), catalog::source(&types))?;
    std::fs::write(out.join("files.rs"), files(&sources)?)?;
    std::fs::write(out.join("tables.rs"), tables::source(&pool)?)?;
    std::fs::write(out.join("web_files.rs"), web_files::source(Path::new(WEB_ROOT), &out)?)?;
    codegen::typed(&pool, &out)?;
    codegen::retyped(&pool, &out)?;
    Ok(())
}

/// The encoded descriptor set of `files` and what they import, with comments.
fn compile(files: &[PathBuf]) -> Result<Vec<u8>, String> {
    // Only the debug form of the compiler's error says in which file and line.
    let located = |error: protox::Error| format!("{error:?}");
    let mut compiler = protox::Compiler::new([PROTO_ROOT]).map_err(located)?;
    compiler.include_source_info(true).include_imports(true).open_files(files).map_err(located)?;
    // The decoded form of the set would lose the custom options.
    Ok(compiler.encode_file_descriptor_set())
}

/// The source of a list of the proto files: path below `proto`, and text.
fn files(sources: &[PathBuf]) -> Result<String, Box<dyn Error>> {
    let mut list = String::from("&[\n");
    for source in sources {
        let text = std::fs::read_to_string(source)?;
        let _ = writeln!(list, "    ({:?}, {text:?}),", source.strip_prefix(PROTO_ROOT)?);
    }
    list.push(']');
    Ok(list)
}

/// The project's own proto files, in a stable order.
fn sources(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
