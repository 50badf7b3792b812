//! Operators of libtorch that `tch` does not expose, called through TorchScript.
//!
//! A script is the text of one method. TorchScript is loaded from an archive; this writes the smallest one: a module
//! without attributes. A call costs about one microsecond more than a direct one.

use std::io::{Cursor, Write};

use tch::{CModule, IValue, TchError, Tensor};
use zip::write::FileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A compiled method.
pub(super) struct Script(CModule);

impl Script {
    /// Compiles `def forward(self, parameters) -> result: body`, with the body as lines of statements.
    ///
    /// # Errors
    /// What the compiler says.
    pub(super) fn new(parameters: &str, result: &str, body: &[&str]) -> Result<Script, TchError> {
        let mut code = String::from("class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n");
        code += &format!("  def forward(self: __torch__.M, {parameters}) -> {result}:\n");
        for line in body {
            code += &format!("    {line}\n");
        }
        CModule::load_data(&mut Cursor::new(archive(&code)?)).map(Script)
    }

    /// The method's result, as a list: a tuple gives its parts.
    ///
    /// # Errors
    /// What libtorch says, or that the result is no tensor.
    pub(super) fn call(&self, arguments: &[IValue]) -> Result<Vec<Tensor>, TchError> {
        let tensor = |value| match value {
            IValue::Tensor(tensor) => Ok(tensor),
            other => Err(TchError::Convert(format!("a tensor was expected, not {other:?}"))),
        };
        match self.0.forward_is(arguments)? {
            IValue::Tuple(values) => values.into_iter().map(tensor).collect(),
            value => Ok(vec![tensor(value)?]),
        }
    }
}

/// Tensors as arguments.
pub(super) fn arguments(tensors: &[&Tensor]) -> Vec<IValue> {
    tensors.iter().map(|tensor| IValue::Tensor(tensor.shallow_clone())).collect()
}

/// A TorchScript archive with the module `M` of `code`.
fn archive(code: &str) -> Result<Vec<u8>, TchError> {
    // Pickles: an object of the class `__torch__.M` without state, and an empty tuple of constants.
    let entries: [(&str, &[u8]); 4] = [
        ("m/data.pkl", b"\x80\x02c__torch__\nM\n)\x81}b."),
        ("m/code/__torch__.py", code.as_bytes()),
        ("m/constants.pkl", b"\x80\x02)."),
        ("m/version", b"10\n"),
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(name, FileOptions::default().compression_method(CompressionMethod::Stored))?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_computes() {
        let script =
            Script::new("x: Tensor, y: Tensor", "Tuple[Tensor, Tensor]", &["z = torch.add(x, y)", "return (z, x)"]);
        let (x, y) = (Tensor::from_slice(&[1.0, 2.0]), Tensor::from_slice(&[3.0, 4.0]));
        let results = script.expect("compiles").call(&arguments(&[&x, &y])).expect("runs");
        assert_eq!(results, [Tensor::from_slice(&[4.0, 6.0]), x]);
    }

    #[test]
    fn a_fault_is_an_error() {
        assert!(Script::new("x: Tensor", "Tensor", &["return torch.no_such_operator(x)"]).is_err());
        let number = Script::new("x: Tensor", "int", &["return 3"]).expect("compiles");
        assert!(number.call(&arguments(&[&Tensor::from_slice(&[1.0])])).is_err());
    }
}
