//! The shapes that kernels of convolutions specialise in, as domains to draw from.
//!
//! Seven axes that are drawn independently make 3×3 with stride and dilation 1 once in two thousand draws.

use crate::Domain;

/// Domains of every operator with the geometry of a convolution.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "3x3", fixed: &[("r", &[3]), ("s", &[3]), ("sh", &[1]), ("sw", &[1]), ("dh", &[1]), ("dw", &[1])] },
    Domain {
        name: "3x3 of many channels",
        fixed: &[
            ("n", &[1, 2]),
            ("c", &[32, 33, 40]),
            ("h", &[3, 4, 6, 9]),
            ("w", &[4, 5, 10, 13]),
            ("k", &[32, 35, 48]),
            ("r", &[3]),
            ("s", &[3]),
            ("g", &[1]),
            ("sh", &[1]),
            ("sw", &[1]),
            ("dh", &[1]),
            ("dw", &[1]),
            ("pt", &[0, 1]),
            ("pl", &[0, 1, 2]),
            ("pb", &[0, 1, 2]),
            ("pr", &[0, 1]),
        ],
    },
    Domain {
        name: "1x1",
        fixed: &[
            ("r", &[1]),
            ("s", &[1]),
            ("sh", &[1]),
            ("sw", &[1]),
            ("pt", &[0]),
            ("pl", &[0]),
            ("pb", &[0]),
            ("pr", &[0]),
        ],
    },
    Domain { name: "1x1 with strides", fixed: &[("r", &[1]), ("s", &[1]), ("sh", &[1, 2, 3]), ("sw", &[2, 3])] },
    Domain {
        name: "depthwise",
        fixed: &[("c", &[1]), ("k", &[1]), ("g", &[2, 3, 8, 15, 16, 17, 33]), ("r", &[1, 2, 3, 5]), ("s", &[2, 3, 5])],
    },
    Domain {
        name: "depthwise with a multiplier",
        fixed: &[("c", &[1]), ("k", &[2, 3]), ("g", &[2, 3, 16, 17]), ("r", &[3]), ("s", &[3])],
    },
    Domain {
        name: "first layer",
        fixed: &[
            ("n", &[1, 2]),
            ("c", &[1, 3]),
            ("h", &[23, 32, 40]),
            ("w", &[32, 33, 47, 48]),
            ("k", &[3, 4, 8, 12, 16]),
            ("r", &[3, 5, 7]),
            ("s", &[3, 4, 5]),
            ("g", &[1]),
            ("sh", &[1, 2]),
            ("sw", &[1, 2, 4]),
            ("dh", &[1]),
            ("dw", &[1]),
            ("layout", &[0]),
        ],
    },
    Domain { name: "by pixels", fixed: &[("layout", &[1])] },
];
