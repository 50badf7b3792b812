//! Axes and points: the named integer coordinates of a problem.
//!
//! From one declaration of the axes come the case id and its parser ([`Point::format`], [`Point::parse`]), the fuzz
//! decoder ([`Point::decode`]), the property-test strategy (`strategy`), the bench sweeps and the report's columns.

use std::fmt;

/// What values an axis takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer. Tests draw from `least..=tested` with a preference for `favoured`; a problem accepts what its own
    /// constructor accepts.
    Int {
        /// Smallest value that property tests draw: 0, or 1 where 0 is never valid.
        least: i64,
        /// Largest value that property tests draw.
        tested: i64,
        /// Values at which kernels break: tile ± 1, chunk ± 1, primes, powers of two ± 1.
        favoured: &'static [i64],
    },
    /// One of a few names; the value is the position in the list.
    Choice(&'static [&'static str]),
}

/// One coordinate of an operator's problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Name in case ids and columns.
    pub name: &'static str,
    /// What it means, with its unit.
    pub help: &'static str,
    /// Values.
    pub kind: Kind,
    /// Value of a point that does not mention the axis.
    pub default: i64,
    /// Whether problems with large operands may have it far beyond the tested range.
    pub extent: bool,
    /// Whether it names the member of a family: drawn evenly, each name with a quota of its own.
    pub variant: bool,
}

impl Axis {
    /// An integer axis.
    pub const fn int(
        name: &'static str,
        help: &'static str,
        default: i64,
        tested: i64,
        favoured: &'static [i64],
    ) -> Axis {
        Axis {
            name,
            help,
            kind: Kind::Int { least: 0, tested, favoured },
            default,
            extent: default > 0,
            variant: false,
        }
    }

    /// The axis without 0, which is never valid.
    pub const fn positive(self) -> Axis {
        let Kind::Int { tested, favoured, .. } = self.kind else { panic!("only integers are positive") };
        Axis { kind: Kind::Int { least: 1, tested, favoured }, ..self }
    }

    /// The axis as one that stays small in every problem: taps, strides, paddings.
    pub const fn bounded(self) -> Axis {
        Axis { extent: false, ..self }
    }

    /// A small enumeration; the first name is the default.
    pub const fn choice(name: &'static str, help: &'static str, names: &'static [&'static str]) -> Axis {
        Axis { name, help, kind: Kind::Choice(names), default: 0, extent: false, variant: false }
    }

    /// The axis as the one that names the member of a family. An operator has at most one.
    pub const fn variant(self) -> Axis {
        Axis { variant: true, ..self }
    }

    fn show(&self, value: i64) -> String {
        match self.kind {
            Kind::Int { .. } => value.to_string(),
            Kind::Choice(names) => {
                usize::try_from(value).ok().and_then(|i| names.get(i)).map_or(value.to_string(), |n| n.to_string())
            }
        }
    }

    fn read(&self, text: &str) -> Result<i64, PointError> {
        let bad = || PointError::BadValue { axis: self.name, text: text.into(), expected: self.expected() };
        match self.kind {
            Kind::Int { .. } => text.parse().map_err(|_| bad()),
            Kind::Choice(names) => names.iter().position(|n| *n == text).map(|i| i as i64).ok_or_else(bad),
        }
    }

    fn expected(&self) -> String {
        match self.kind {
            Kind::Int { .. } => "an integer".into(),
            Kind::Choice(names) => format!("one of {}", names.join(", ")),
        }
    }
}

/// A value for each axis of an operator. Says nothing about whether the values make a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    axes: &'static [Axis],
    values: Vec<i64>,
}

/// A text or name that does not fit the axes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// No such axis.
    #[error("unknown axis `{0}`: expected {1}")]
    UnknownAxis(String, String),
    /// The axis stands twice.
    #[error("axis `{0}` stands twice")]
    Twice(&'static str),
    /// Not `name=value`.
    #[error("`{0}` is not of the form axis=value")]
    NoValue(String),
    /// Not a value of the axis.
    #[error("`{text}` is no value of axis `{axis}`: expected {expected}")]
    BadValue {
        /// The axis.
        axis: &'static str,
        /// What was given.
        text: String,
        /// What it takes.
        expected: String,
    },
}

impl Point {
    /// The point with each axis at its default.
    pub fn default_of(axes: &'static [Axis]) -> Point {
        Point { axes, values: axes.iter().map(|a| a.default).collect() }
    }

    /// With `values` in the order of the axes.
    ///
    /// # Panics
    /// If the number of values is not the number of axes.
    pub fn from_values(axes: &'static [Axis], values: Vec<i64>) -> Point {
        assert_eq!(axes.len(), values.len(), "one value an axis");
        Point { axes, values }
    }

    /// The axes.
    pub fn axes(&self) -> &'static [Axis] {
        self.axes
    }

    /// The values in the order of the axes.
    pub fn values(&self) -> &[i64] {
        &self.values
    }

    /// The value on axis `name`.
    ///
    /// # Panics
    /// If the operator has no such axis.
    pub fn get(&self, name: &str) -> i64 {
        self.values[self.position(name)]
    }

    /// With another value on axis `name`.
    ///
    /// # Panics
    /// If the operator has no such axis.
    pub fn with(mut self, name: &str, value: i64) -> Point {
        let position = self.position(name);
        self.values[position] = value;
        self
    }

    /// The name chosen on the enumeration axis `name`, if the value is in range.
    pub fn choice(&self, name: &str) -> Option<&'static str> {
        match self.axes[self.position(name)].kind {
            Kind::Choice(names) => usize::try_from(self.get(name)).ok().and_then(|i| names.get(i)).copied(),
            Kind::Int { .. } => None,
        }
    }

    fn position(&self, name: &str) -> usize {
        // Names are so short that a loop is faster than the library's comparison; points are drawn by the million.
        let same = |a: &Axis| a.name.len() == name.len() && a.name.bytes().zip(name.bytes()).all(|(a, b)| a == b);
        self.axes.iter().position(same).unwrap_or_else(|| panic!("no axis `{name}`"))
    }

    /// `m=3,n=5`: the axes that differ from their defaults, in the order of the axes; `-` if none does.
    pub fn format(&self) -> String {
        let parts: Vec<String> = self
            .axes
            .iter()
            .zip(&self.values)
            .filter(|(axis, value)| axis.default != **value)
            .map(|(axis, value)| format!("{}={}", axis.name, axis.show(*value)))
            .collect();
        if parts.is_empty() { "-".into() } else { parts.join(",") }
    }

    /// Reads what [`format`](Point::format) writes; axes that are not mentioned take their defaults.
    ///
    /// # Errors
    /// [`PointError`] if the text does not fit the axes.
    pub fn parse(axes: &'static [Axis], text: &str) -> Result<Point, PointError> {
        let mut point = Point::default_of(axes);
        let mut seen = vec![false; axes.len()];
        if text == "-" {
            return Ok(point);
        }
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(|| PointError::NoValue(part.into()))?;
            let position = axes.iter().position(|a| a.name == name).ok_or_else(|| {
                PointError::UnknownAxis(name.into(), axes.iter().map(|a| a.name).collect::<Vec<_>>().join(", "))
            })?;
            if std::mem::replace(&mut seen[position], true) {
                return Err(PointError::Twice(axes[position].name));
            }
            point.values[position] = axes[position].read(value)?;
        }
        Ok(point)
    }

    /// A point from fuzzer bytes. Small sizes (`tested` and below) with two bytes an axis; `wide` takes eight bytes an
    /// axis and the whole range of `i64` instead, for validation alone. Missing bytes count as zero.
    pub fn decode(axes: &'static [Axis], bytes: &[u8], wide: bool) -> Point {
        let mut bytes = bytes.iter().copied().chain(std::iter::repeat(0));
        let values = axes
            .iter()
            .map(|axis| match axis.kind {
                Kind::Choice(names) => i64::from(bytes.next().unwrap_or(0)) % names.len() as i64,
                Kind::Int { .. } if wide => decode_wide(&mut bytes),
                Kind::Int { least, tested, favoured } => {
                    let (select, raw) = (bytes.next().unwrap_or(0), bytes.next().unwrap_or(0));
                    if select & 1 == 1 && !favoured.is_empty() {
                        favoured[usize::from(raw) % favoured.len()]
                    } else {
                        least + (i64::from(raw) | i64::from(select >> 1) << 8) % (tested + 1 - least)
                    }
                }
            })
            .collect();
        Point { axes, values }
    }
}

/// One byte chooses a magnitude, so that small, huge and negative values are all common.
fn decode_wide(bytes: &mut impl Iterator<Item = u8>) -> i64 {
    let shift = u32::from(bytes.next().unwrap_or(0)) % 64;
    let mut raw = [0; 8];
    raw.iter_mut().for_each(|b| *b = bytes.next().unwrap_or(0));
    i64::from_le_bytes(raw) >> shift
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.format())
    }
}
