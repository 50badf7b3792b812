//! Frozen answers of libtorch, for tests that have no libtorch.
//!
//! `golden/<operator>.jsonl`: the first line is a [`Header`], each other line is a case with libtorch's outputs as bits.
//! Inputs are not stored: they follow from the case's fill and seed. `cargo xtask golden` writes the files.

use std::io;
use std::path::PathBuf;
use std::{fmt::Write as _, fs};

use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use crate::case::CaseError;
use crate::{Case, DType, Data, Element, Operator, Problem, ProblemError, ops};

/// Version of the format; a reader refuses another one.
pub const SCHEMA_VERSION: u32 = 1;

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The libtorch that answered.
    pub libtorch: String,
    /// How to write the file anew.
    pub command: String,
}

/// A case with libtorch's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    /// The case; its kernel is `libtorch`.
    pub case: Case,
    /// One logical array an output; each value is one of its port's dtype.
    pub outputs: Vec<ArrayD<f64>>,
}

/// A case as it stands in a line.
#[derive(Serialize, Deserialize)]
struct Line {
    case: String,
    /// The bits of each output's elements in row-major order, in hexadecimal digits, two a byte.
    outputs: Vec<String>,
}

/// Why there are no answers.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// The file is missing or not readable.
    #[error("{}: {error}; `cargo xtask golden` writes it", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A line is not of the format.
    #[error("line {0}: {1}")]
    Line(usize, serde_json::Error),
    /// The file is empty, or of another version.
    #[error("no header of version {SCHEMA_VERSION}")]
    Header,
    /// A case is no case of a known operator.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// A case's point is no problem.
    #[error("{0}: {1}")]
    Problem(String, ProblemError),
    /// The outputs are not those of the case.
    #[error("{0}: outputs of another number or length, or no digits")]
    Outputs(String),
}

impl Golden {
    /// The case's operator.
    ///
    /// # Panics
    /// If the case was made for an operator that is not in the list.
    pub fn operator(&self) -> &'static Operator {
        ops::find(&self.case.op).expect("a known operator")
    }

    /// The case's problem.
    ///
    /// # Errors
    /// If the point is no problem.
    pub fn problem(&self) -> Result<Box<dyn Problem>, ProblemError> {
        self.operator().problem(&self.case.point)
    }

    /// The inputs that libtorch was given.
    pub fn inputs(&self, problem: &dyn Problem) -> Vec<Data> {
        problem.draw(self.case.types, self.case.fill, self.case.seed)
    }
}

/// Where the files lie: `golden/` beside this package's manifest.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The frozen answers for the operator of this name.
///
/// # Errors
/// [`GoldenError`] if the file is missing or damaged.
pub fn cases(op: &str) -> Result<Vec<Golden>, GoldenError> {
    let path = folder().join(format!("{op}.jsonl"));
    let text = fs::read_to_string(&path).map_err(|error| GoldenError::File { path, error })?;
    read(&text).map(|(_, cases)| cases)
}

/// Reads what [`write()`] writes.
///
/// # Errors
/// [`GoldenError`] if the text is not of the format.
pub fn read(text: &str) -> Result<(Header, Vec<Golden>), GoldenError> {
    let mut lines = text.lines().enumerate();
    let (_, first) = lines.next().ok_or(GoldenError::Header)?;
    let header: Header = serde_json::from_str(first).map_err(|error| GoldenError::Line(1, error))?;
    if header.schema_version != SCHEMA_VERSION {
        return Err(GoldenError::Header);
    }
    let golden = |(index, text)| -> Result<Golden, GoldenError> {
        let line: Line = serde_json::from_str(text).map_err(|error| GoldenError::Line(index + 1, error))?;
        let case = Case::parse(&line.case, ops::ALL)?;
        let operator = ops::find(&case.op).expect("parsed with the same list");
        let problem = operator.problem(&case.point).map_err(|error| GoldenError::Problem(line.case.clone(), error))?;
        let ports = problem.outputs(case.types);
        let arrays =
            ports.iter().zip(&line.outputs).map(|(port, digits)| decode(port.dtype, &port.layout.shape, digits));
        let outputs: Option<Vec<_>> = arrays.collect();
        let outputs = outputs.filter(|_| ports.len() == line.outputs.len()).ok_or(GoldenError::Outputs(line.case))?;
        Ok(Golden { case, outputs })
    };
    Ok((header, lines.map(golden).collect::<Result<_, _>>()?))
}

/// The text of a file.
///
/// # Panics
/// If a case's point is no problem.
pub fn write(header: &Header, cases: &[Golden]) -> String {
    let mut text = serde_json::to_string(header).expect("a header is plain data") + "\n";
    for golden in cases {
        let ports = golden.problem().expect("a problem that was answered").outputs(golden.case.types);
        let outputs = golden.outputs.iter().zip(&ports).map(|(array, port)| encode(port.dtype, array)).collect();
        let line = Line { case: golden.case.to_string(), outputs };
        text += &(serde_json::to_string(&line).expect("a line is plain data") + "\n");
    }
    text
}

fn encode(dtype: DType, array: &ArrayD<f64>) -> String {
    let values: Vec<f64> = array.iter().copied().collect();
    let bytes = dtype.size();
    let mut digits = String::with_capacity(2 * bytes * values.len());
    for bits in Data::from_f64(dtype, &values).bits() {
        // A NaN's bits are all ones; an integer's are sign-extended. The lower bytes are those of the dtype.
        let own = if bytes == 8 { bits } else { bits & ((1 << (8 * bytes)) - 1) };
        write!(digits, "{own:0width$x}", width = 2 * bytes).expect("a text takes everything");
    }
    digits
}

/// `None` if there are not as many digits as the shape needs.
fn decode(dtype: DType, shape: &[usize], digits: &str) -> Option<ArrayD<f64>> {
    let width = 2 * dtype.size();
    if !digits.is_ascii() || !digits.len().is_multiple_of(width) {
        return None;
    }
    let value = |start: usize| {
        let bits = u64::from_str_radix(&digits[start..start + width], 16).ok()?;
        Some(with_dtype!(dtype, T => Element::to_f64(<T as Element>::from_bits(bits))))
    };
    let values: Option<Vec<f64>> = (0..digits.len()).step_by(width).map(value).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_back() {
        let values = [0.0, -0.0, 1.0, -2.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        for &dtype in DType::ALL {
            let rounded: Vec<f64> = values.iter().map(|&x| dtype.round(x)).collect();
            let array = ArrayD::from_shape_vec(IxDyn(&[2, 4]), rounded).expect("eight values");
            let digits = encode(dtype, &array);
            assert_eq!(digits.len(), 16 * dtype.size());
            let back = decode(dtype, &[2, 4], &digits).expect("digits");
            let same = |(x, y): (&f64, &f64)| x == y || (x.is_nan() && y.is_nan());
            assert!(back.iter().zip(&array).all(same), "{dtype}: {back} of {array}");
            assert_eq!(decode(dtype, &[9], &digits), None);
            assert_eq!(decode(dtype, &[2, 4], &digits[1..]), None);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let header = r#"{"schema_version":1,"libtorch":"2.13.0","command":"-"}"#;
        assert!(read(header).is_ok());
        assert!(matches!(read(""), Err(GoldenError::Header)));
        assert!(matches!(read(&header.replace('1', "2")), Err(GoldenError::Header)));
        let with = |line: &str| read(&format!("{header}\n{line}"));
        assert!(matches!(with("{"), Err(GoldenError::Line(2, _))));
        assert!(matches!(with(r#"{"case":"gemm","outputs":[]}"#), Err(GoldenError::Case(_))));
        let case = r#"{"case":"gemm/libtorch/f32/-/t1#real-0","outputs":["#;
        assert!(with(&format!("{case}\"3f800000\"]}}")).is_ok());
        assert!(matches!(with(&format!("{case}\"3f80\"]}}")), Err(GoldenError::Outputs(_))));
        assert!(matches!(with(&format!("{case}]}}")), Err(GoldenError::Outputs(_))));
    }
}
