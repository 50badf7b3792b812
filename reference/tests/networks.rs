//! The layer lists of networks are whole: as many convolutions and multiply–adds as the networks' definitions have.

use std::collections::{BTreeMap, HashMap};

use etalon_reference::ops::conv2d::CONV2D;
use etalon_reference::{Point, Types, Workload};

/// Multiply–adds of a workload, taps on the padding included, as is the custom.
fn multiply_adds(workload: &Workload) -> u64 {
    let point = Point::parse(CONV2D.axes, workload.point).unwrap();
    (CONV2D.problem(&point).unwrap().work(Types::F32).operations / 2.0) as u64
}

/// Convolutions and multiply–adds by network.
fn totals() -> BTreeMap<&'static str, (u32, u64)> {
    let mut totals = BTreeMap::new();
    for workload in CONV2D.workloads {
        for &(network, count) in workload.networks {
            let (layers, products) = totals.entry(network).or_insert((0, 0));
            *layers += count;
            *products += u64::from(count) * multiply_adds(workload);
        }
    }
    totals
}

/// Of an inception module on a map of side `h` with `c` channels: 1×1; 3×3 with its reduction; 5×5 with its reduction; the
/// projection behind the pool.
fn inception(h: u64, c: u64, [one, reduce3, three, reduce5, five, pool]: [u64; 6]) -> u64 {
    h * h * (c * (one + reduce3 + reduce5 + pool) + 9 * reduce3 * three + 25 * reduce5 * five)
}

fn googlenet() -> u64 {
    112 * 112 * 49 * 3 * 64
        + 56 * 56 * (64 * 64 + 9 * 64 * 192)
        + inception(28, 192, [64, 96, 128, 16, 32, 32])
        + inception(28, 256, [128, 128, 192, 32, 96, 64])
        + inception(14, 480, [192, 96, 208, 16, 48, 64])
        + inception(14, 512, [160, 112, 224, 24, 64, 64])
        + inception(14, 512, [128, 128, 256, 24, 64, 64])
        + inception(14, 512, [112, 144, 288, 32, 64, 64])
        + inception(14, 528, [256, 160, 320, 32, 128, 128])
        + inception(7, 832, [256, 160, 320, 32, 128, 128])
        + inception(7, 832, [384, 192, 384, 48, 128, 128])
}

/// `n` convolutions in each of VGG's three last stages.
fn vgg(n: u64) -> u64 {
    let stages = [(56, 128, 256), (28, 256, 512), (14, 512, 512)];
    let last = stages.map(|(h, c, k)| h * h * 9 * (c * k + (n - 1) * k * k)).iter().sum::<u64>();
    224 * 224 * 9 * (3 * 64 + 64 * 64) + 112 * 112 * 9 * (64 * 128 + 128 * 128) + last
}

/// Stages 2 to 4 enter with half the channels and stride 2: a 3×3, three 3×3 of k channels, and a 1×1 beside them.
fn resnet18() -> u64 {
    let stages =
        [(28, 128), (14, 256), (7, 512)].map(|(h, k)| h * h * k * k * (9 + 3 * 18 + 1) / 2).iter().sum::<u64>();
    112 * 112 * 49 * 3 * 64 + 56 * 56 * 4 * 9 * 64 * 64 + stages
}

/// A bottleneck of k channels on a map of side h gives 4k channels: 1×1, 3×3, 1×1. The first of a stage takes c channels on a
/// map of side s·h through its first 1×1, and has a 1×1 beside it.
fn resnet50() -> u64 {
    let stage = |h: u64, k: u64, c: u64, s: u64, n: u64| {
        let first = s * h * s * h * c * k + h * h * (9 * k * k + 4 * k * k + 4 * c * k);
        first + (n - 1) * h * h * 17 * k * k
    };
    112 * 112 * 49 * 3 * 64
        + stage(56, 64, 64, 1, 3)
        + stage(28, 128, 256, 2, 4)
        + stage(14, 256, 512, 2, 6)
        + stage(7, 512, 1024, 2, 3)
}

/// A fire module squeezes c channels to q and expands them by 1×1 and 3×3 to e each.
fn squeezenet() -> u64 {
    let fire = |h: u64, c: u64, q: u64, e: u64| h * h * (c * q + q * e + 9 * q * e);
    let of_55 = fire(55, 64, 16, 64) + fire(55, 128, 16, 64);
    let of_27 = fire(27, 128, 32, 128) + fire(27, 256, 32, 128);
    let of_13 = fire(13, 256, 48, 192) + fire(13, 384, 48, 192) + fire(13, 384, 64, 256) + fire(13, 512, 64, 256);
    111 * 111 * 9 * 3 * 64 + of_55 + of_27 + of_13 + 13 * 13 * 512 * 1000
}

/// Each pair of depthwise 3×3 of c channels and 1×1 to k, with the side of its output map and how often it stands.
fn mobilenet() -> u64 {
    let pairs = [
        (112, 32, 64, 1),
        (56, 64, 128, 1),
        (56, 128, 128, 1),
        (28, 128, 256, 1),
        (28, 256, 256, 1),
        (14, 256, 512, 1),
        (14, 512, 512, 5),
        (7, 512, 1024, 1),
        (7, 1024, 1024, 1),
    ];
    112 * 112 * 9 * 3 * 32 + pairs.map(|(h, c, k, n)| n * h * h * (9 * c + c * k)).iter().sum::<u64>()
}

#[test]
fn every_network_is_whole() {
    let lenet = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 120 * 400;
    let alexnet = 55 * 55 * 64 * 363 + 27 * 27 * 192 * 1600 + 13 * 13 * (384 * 1728 + 256 * 3456 + 256 * 2304);
    let expected = [
        // Name, convolutions, multiply–adds derived from the definition, and written out.
        ("LeNet-5", 3, lenet, 405_600),
        ("AlexNet", 5, alexnet, 655_566_528),
        ("VGG-16", 13, vgg(3), 15_346_630_656),
        ("VGG-19", 16, vgg(4), 19_508_428_800),
        ("GoogLeNet", 2 + 1 + 9 * 6, googlenet(), 1_581_647_872),
        ("ResNet-18", 1 + 4 + 3 * 5, resnet18(), 1_813_561_344),
        ("ResNet-50", 1 + 3 * (3 + 4 + 6 + 3) + 4, resnet50(), 4_087_136_256),
        ("SqueezeNet 1.1", 1 + 3 * 8 + 1, squeezenet(), 349_151_936),
        ("MobileNet v1", 1 + 2 * 13, mobilenet(), 567_716_352),
    ];
    let totals = totals();
    assert_eq!(totals.len(), expected.len(), "{totals:?}");
    for (network, layers, derived, written) in expected {
        assert_eq!(derived, written, "{network}: the derivation");
        assert_eq!(totals[network], (layers, written), "{network}");
    }
}

/// A shape is timed once, but for those that stand in published reports under two names.
#[test]
fn no_shape_stands_twice() {
    let twice = [("googlenet.conv1_7x7_s2", "resnet50v1.5.conv1")];
    let mut seen = HashMap::new();
    let mut found = Vec::new();
    for workload in CONV2D.workloads {
        let point = Point::parse(CONV2D.axes, workload.point).unwrap().format();
        if let Some(other) = seen.insert(point, workload.name) {
            found.push((other, workload.name));
        }
    }
    assert_eq!(found, twice);
}

#[test]
fn a_network_counts_a_layer_once_in_a_list() {
    for workload in CONV2D.workloads {
        let names: Vec<_> = workload.networks.iter().map(|n| n.0).collect();
        assert!(workload.networks.iter().all(|n| n.1 > 0), "{}", workload.name);
        assert!((1..names.len()).all(|i| !names[..i].contains(&names[i])), "{}: {names:?}", workload.name);
    }
}
