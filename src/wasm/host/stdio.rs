//! Standard output and error of guests that have them, for our own preview1 adapter.

use wasmtime::component::Linker;
use wasmtime::{Error, Result, StoreContextMut};

use super::super::bindings::gimbal::filter::types::Level;
use super::super::ctx::Ctx;
use super::super::failing::Exited;
use super::super::words::Stream;

/// Links what `adapter.wat` imports.
pub(super) fn link(linker: &mut Linker<Ctx>, interface: &str) -> Result<()> {
    let mut stdio = linker.instance(interface)?;
    stdio.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, Ctx>, (stream, bytes): (u32, Vec<u8>)| {
            let ctx = store.data_mut();
            let (stream, level) = match stream {
                2 => (Stream::Error, Level::Error),
                _ => (Stream::Out, Level::Info),
            };
            if let Some(lines) = ctx.words.wrote(stream, &bytes) {
                ctx.say(level, &lines);
            }
            Ok(())
        },
    )?;
    stdio.func_wrap("exit", |_: StoreContextMut<'_, Ctx>, (code,): (u32,)| {
        Err::<(), _>(Error::new(Exited(code)))
    })?;
    Ok(())
}
