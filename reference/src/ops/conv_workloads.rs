//! Workloads of `conv2d`: the layers of well-known networks, at one image and at more.

use crate::Workload;

const BENCHDNN: &str = "oneDNN benchdnn, conv shapes";
const TORCHBENCH: &str = "TorchBench operator logs";
const DEEPBENCH: &str = "DeepBench, convolution";

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const fn smoke(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source).smoke()
}

/// A layer that is there for its networks' sums.
const fn layer(name: &'static str, point: &'static str, networks: &'static [(&'static str, u32)]) -> Workload {
    Workload::new(name, point, "network definition").of(networks).brief()
}

/// One of the study of Winograd's error over input channels.
const fn study(name: &'static str, point: &'static str) -> Workload {
    Workload::new(name, point, "study of Winograd's error")
}

pub(super) const FORWARD: &[Workload] = &[
    w("alexnet_2012.conv1", "c=3,h=227,w=227,k=96,r=11,s=11,sh=4,sw=4", BENCHDNN),
    w("alexnet_2012.conv2", "c=48,h=27,w=27,k=128,r=5,s=5,g=2,pt=2,pl=2,pb=2,pr=2", BENCHDNN),
    w("alexnet_2012.conv3", "c=256,h=13,w=13,k=384,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("alexnet_2012.conv4", "c=192,h=13,w=13,k=192,r=3,s=3,g=2,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("alexnet_2012.conv5", "c=192,h=13,w=13,k=128,r=3,s=3,g=2,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("alexnet.conv1", "c=3,h=224,w=224,k=64,r=11,s=11,sh=4,sw=4,pt=2,pl=2,pb=2,pr=2", TORCHBENCH)
        .of(&[("AlexNet", 1)]),
    w("alexnet.conv2", "c=64,h=27,w=27,k=192,r=5,s=5,pt=2,pl=2,pb=2,pr=2", TORCHBENCH).of(&[("AlexNet", 1)]),
    w("alexnet.conv3", "c=192,h=13,w=13,k=384,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH).of(&[("AlexNet", 1)]),
    w("alexnet.conv4", "c=384,h=13,w=13,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH).of(&[("AlexNet", 1)]),
    w("alexnet.conv5", "c=256,h=13,w=13,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH).of(&[("AlexNet", 1)]),
    w("vgg16.conv1_1", "c=3,h=224,w=224,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 1), ("VGG-19", 1)]),
    w("vgg16.conv1_2", "c=64,h=224,w=224,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 1), ("VGG-19", 1)]),
    w("vgg16.conv2_1", "c=64,h=112,w=112,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 1), ("VGG-19", 1)]),
    w("vgg16.conv2_2", "c=128,h=112,w=112,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 1), ("VGG-19", 1)]),
    w("vgg16.conv3_1", "c=128,h=56,w=56,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 1), ("VGG-19", 1)]),
    w("vgg16.conv3_2", "c=256,h=56,w=56,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 2), ("VGG-19", 3)]),
    w("vgg16.conv4_1", "c=256,h=28,w=28,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 1), ("VGG-19", 1)]),
    w("vgg16.conv4_2", "c=512,h=28,w=28,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 2), ("VGG-19", 3)]),
    w("vgg16.conv5_1", "c=512,h=14,w=14,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("VGG-16", 3), ("VGG-19", 4)]),
    w("googlenet.conv1_7x7_s2", "c=3,h=224,w=224,k=64,r=7,s=7,sh=2,sw=2,pt=3,pl=3,pb=3,pr=3", BENCHDNN).of(&[
        ("GoogLeNet", 1),
        ("ResNet-18", 1),
        ("ResNet-50", 1),
    ]),
    w("googlenet.conv2_3x3", "c=64,h=56,w=56,k=192,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.3a_1x1", "c=192,h=28,w=28,k=64", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.3a_3x3", "c=96,h=28,w=28,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.3a_5x5_reduce", "c=192,h=28,w=28,k=16", BENCHDNN).of(&[("GoogLeNet", 1)]),
    smoke("googlenet.3a_5x5", "c=16,h=28,w=28,k=32,r=5,s=5,pt=2,pl=2,pb=2,pr=2", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.3b_5x5", "c=32,h=28,w=28,k=96,r=5,s=5,pt=2,pl=2,pb=2,pr=2", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.4a_3x3", "c=96,h=14,w=14,k=208,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.4e_3x3", "c=160,h=14,w=14,k=320,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.5a_1x1", "c=832,h=7,w=7,k=256", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.5b_3x3", "c=192,h=7,w=7,k=384,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("googlenet.5b_5x5", "c=48,h=7,w=7,k=128,r=5,s=5,pt=2,pl=2,pb=2,pr=2", BENCHDNN).of(&[("GoogLeNet", 1)]),
    w("resnet50v1.5.conv1", "c=3,h=224,w=224,k=64,r=7,s=7,sh=2,sw=2,pt=3,pl=3,pb=3,pr=3", TORCHBENCH),
    w("resnet50.res2a_2a", "c=64,h=56,w=56,k=64", TORCHBENCH).of(&[("GoogLeNet", 1), ("ResNet-50", 1)]),
    w("resnet50.res2x_2b", "c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("ResNet-18", 4), ("ResNet-50", 3)]),
    w("resnet50.res2x_2c", "c=64,h=56,w=56,k=256", TORCHBENCH).of(&[("ResNet-50", 4)]),
    w("resnet50.res2b_2a", "c=256,h=56,w=56,k=64", TORCHBENCH).of(&[("ResNet-50", 2)]),
    w("resnet50.res3a_2a", "c=256,h=56,w=56,k=128", TORCHBENCH).of(&[("ResNet-50", 1)]),
    w("resnet50.res3a_2b_s2", "c=128,h=56,w=56,k=128,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("ResNet-50", 1)]),
    w("resnet50.res3a_branch1_s2", "c=256,h=56,w=56,k=512,sh=2,sw=2", TORCHBENCH).of(&[("ResNet-50", 1)]),
    w("resnet50.res3b_2b", "c=128,h=28,w=28,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("ResNet-18", 3), ("ResNet-50", 3)]),
    w("resnet50.res3x_2c", "c=128,h=28,w=28,k=512", TORCHBENCH).of(&[("ResNet-50", 4)]),
    smoke("resnet50.res4b_2b", "c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("ResNet-18", 3), ("ResNet-50", 5)]),
    smoke("resnet50.res4x_2c", "c=256,h=14,w=14,k=1024", TORCHBENCH).of(&[("ResNet-50", 6)]),
    w("resnet50.res4b_2a", "c=1024,h=14,w=14,k=256", TORCHBENCH).of(&[("ResNet-50", 5)]),
    w("resnet50.res5b_2b", "c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("ResNet-18", 3), ("ResNet-50", 2)]),
    w("resnet50.res5x_2c", "c=512,h=7,w=7,k=2048", TORCHBENCH).of(&[("ResNet-50", 3)]),
    w("resnet50.res5b_2a", "c=2048,h=7,w=7,k=512", TORCHBENCH).of(&[("ResNet-50", 2)]),
    w("squeezenet1_1.conv1", "c=3,h=224,w=224,k=64,r=3,s=3,sh=2,sw=2", TORCHBENCH).of(&[("SqueezeNet 1.1", 1)]),
    w("squeezenet1_1.fire2.squeeze", "c=64,h=55,w=55,k=16", TORCHBENCH).of(&[("SqueezeNet 1.1", 1)]),
    w("squeezenet1_1.fire2.e1x1", "c=16,h=55,w=55,k=64", TORCHBENCH).of(&[("SqueezeNet 1.1", 2)]),
    w("squeezenet1_1.fire2.e3x3", "c=16,h=55,w=55,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("SqueezeNet 1.1", 2)]),
    w("squeezenet1_1.fire4.squeeze", "c=128,h=27,w=27,k=32", TORCHBENCH).of(&[("SqueezeNet 1.1", 1)]),
    w("squeezenet1_1.fire4.e3x3", "c=32,h=27,w=27,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("SqueezeNet 1.1", 2)]),
    w("squeezenet1_1.fire6.e3x3", "c=48,h=13,w=13,k=192,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("SqueezeNet 1.1", 2)]),
    w("squeezenet1_1.fire8.e3x3", "c=64,h=13,w=13,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH)
        .of(&[("SqueezeNet 1.1", 2)]),
    w("squeezenet1_1.classifier", "c=512,h=13,w=13,k=1000", TORCHBENCH).of(&[("SqueezeNet 1.1", 1)]),
    w("mobilenet_v1.conv1", "c=3,h=224,w=224,k=32,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", BENCHDNN)
        .of(&[("MobileNet v1", 1)]),
    w("mobilenet_v1.dw2_1", "c=1,h=112,w=112,k=1,r=3,s=3,g=32,pt=1,pl=1,pb=1,pr=1", BENCHDNN)
        .of(&[("MobileNet v1", 1)]),
    w("mobilenet_v1.pw2", "c=32,h=112,w=112,k=64", BENCHDNN).of(&[("MobileNet v1", 1)]),
    w("mobilenet_v1.dw2_2_s2", "c=1,h=112,w=112,k=1,r=3,s=3,g=64,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", BENCHDNN)
        .of(&[("MobileNet v1", 1)]),
    w("mobilenet_v1.dw3_1", "c=1,h=56,w=56,k=1,r=3,s=3,g=128,pt=1,pl=1,pb=1,pr=1", BENCHDNN).of(&[("MobileNet v1", 1)]),
    w("mobilenet_v1.pw4", "c=128,h=56,w=56,k=128", BENCHDNN).of(&[("MobileNet v1", 1)]),
    smoke("mobilenet_v1.dw5_1", "c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1", BENCHDNN)
        .of(&[("MobileNet v1", 5)]),
    w("mobilenet_v1.pw8", "c=512,h=14,w=14,k=512", BENCHDNN).of(&[("MobileNet v1", 5)]),
    w("mobilenet_v1.dw6", "c=1,h=7,w=7,k=1,r=3,s=3,g=1024,pt=1,pl=1,pb=1,pr=1", BENCHDNN).of(&[("MobileNet v1", 1)]),
    w("mobilenet_v1.pw10", "c=1024,h=7,w=7,k=1024", BENCHDNN).of(&[("MobileNet v1", 1)]),
    w("mobilenet_v2.dw_s2", "c=1,h=112,w=112,k=1,r=3,s=3,g=96,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("mobilenet_v2.expand_24_144", "c=24,h=56,w=56,k=144", TORCHBENCH),
    w("mobilenet_v2.project_144_24", "c=144,h=56,w=56,k=24", TORCHBENCH),
    w("mobilenet_v2.dw960", "c=1,h=7,w=7,k=1,r=3,s=3,g=960,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("mobilenet_v2.last_320_1280", "c=320,h=7,w=7,k=1280", TORCHBENCH),
    w("deepspeech.conv1", "c=1,h=161,w=700,k=32,r=5,s=20,sh=2,sw=2", DEEPBENCH),
    w("deepspeech.conv2", "c=32,h=79,w=341,k=32,r=5,s=10,sh=2,sw=2", DEEPBENCH),
    w("deepbench.face_54x54", "c=64,h=54,w=54,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", DEEPBENCH),
    w("vit_b16.patch_embed", "c=3,h=224,w=224,k=768,r=16,s=16,sh=16,sw=16", BENCHDNN),
    w("resnet50.res2x_2b_n4", "n=4,c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res2x_2b_n16", "n=16,c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res2x_2b_nhwc", "c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TORCHBENCH),
    w("resnet50.res4b_2b_n4", "n=4,c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res4b_2b_n16", "n=16,c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res4b_2b_nhwc", "c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TORCHBENCH),
    w("resnet50.res4x_2c_n4", "n=4,c=256,h=14,w=14,k=1024", TORCHBENCH),
    w("resnet50.res4x_2c_n16", "n=16,c=256,h=14,w=14,k=1024", TORCHBENCH),
    w("resnet50.res4x_2c_nhwc", "c=256,h=14,w=14,k=1024,layout=nhwc", TORCHBENCH),
    w("resnet50.res5b_2b_n4", "n=4,c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res5b_2b_n16", "n=16,c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res5b_2b_nhwc", "c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TORCHBENCH),
    w("mobilenet_v1.dw5_1_n4", "n=4,c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("mobilenet_v1.dw5_1_n16", "n=16,c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("mobilenet_v1.dw5_1_nhwc", "c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1,layout=nhwc", BENCHDNN),
    study("study.winograd_c16", "c=16,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1"),
    study("study.winograd_c32", "c=32,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1"),
    study("study.winograd_c64", "c=64,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1"),
    study("study.winograd_c128", "c=128,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1"),
    study("study.winograd_c256", "c=256,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1"),
    study("study.winograd_c512", "c=512,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1"),
    layer("lenet5.c1", "c=1,h=32,w=32,k=6,r=5,s=5", &[("LeNet-5", 1)]),
    layer("lenet5.c3", "c=6,h=14,w=14,k=16,r=5,s=5", &[("LeNet-5", 1)]),
    layer("lenet5.c5", "c=16,h=5,w=5,k=120,r=5,s=5", &[("LeNet-5", 1)]),
    layer("googlenet.3a_3x3_reduce", "c=192,h=28,w=28,k=96", &[("GoogLeNet", 1)]),
    layer("googlenet.3a_pool_proj", "c=192,h=28,w=28,k=32", &[("GoogLeNet", 1)]),
    layer("googlenet.3b_1x1", "c=256,h=28,w=28,k=128", &[("GoogLeNet", 2)]),
    layer("googlenet.3b_3x3", "c=128,h=28,w=28,k=192,r=3,s=3,pt=1,pl=1,pb=1,pr=1", &[("GoogLeNet", 1)]),
    layer("googlenet.3b_5x5_reduce", "c=256,h=28,w=28,k=32", &[("GoogLeNet", 1)]),
    layer("googlenet.3b_pool_proj", "c=256,h=28,w=28,k=64", &[("GoogLeNet", 1)]),
    layer("googlenet.4a_1x1", "c=480,h=14,w=14,k=192", &[("GoogLeNet", 1)]),
    layer("googlenet.4a_3x3_reduce", "c=480,h=14,w=14,k=96", &[("GoogLeNet", 1)]),
    layer("googlenet.4a_5x5_reduce", "c=480,h=14,w=14,k=16", &[("GoogLeNet", 1)]),
    layer("googlenet.4a_5x5", "c=16,h=14,w=14,k=48,r=5,s=5,pt=2,pl=2,pb=2,pr=2", &[("GoogLeNet", 1)]),
    layer("googlenet.4a_pool_proj", "c=480,h=14,w=14,k=64", &[("GoogLeNet", 1)]),
    layer("googlenet.4b_1x1", "c=512,h=14,w=14,k=160", &[("GoogLeNet", 1)]),
    layer("googlenet.4b_3x3_reduce", "c=512,h=14,w=14,k=112", &[("GoogLeNet", 2)]),
    layer("googlenet.4b_3x3", "c=112,h=14,w=14,k=224,r=3,s=3,pt=1,pl=1,pb=1,pr=1", &[("GoogLeNet", 1)]),
    layer("googlenet.4b_5x5_reduce", "c=512,h=14,w=14,k=24", &[("GoogLeNet", 2)]),
    layer("googlenet.4b_5x5", "c=24,h=14,w=14,k=64,r=5,s=5,pt=2,pl=2,pb=2,pr=2", &[("GoogLeNet", 2)]),
    layer("googlenet.4b_pool_proj", "c=512,h=14,w=14,k=64", &[("GoogLeNet", 3)]),
    layer("googlenet.4c_1x1", "c=512,h=14,w=14,k=128", &[("GoogLeNet", 2)]),
    layer("googlenet.4c_3x3", "c=128,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", &[("GoogLeNet", 1)]),
    layer("googlenet.4d_3x3_reduce", "c=512,h=14,w=14,k=144", &[("GoogLeNet", 1)]),
    layer("googlenet.4d_3x3", "c=144,h=14,w=14,k=288,r=3,s=3,pt=1,pl=1,pb=1,pr=1", &[("GoogLeNet", 1)]),
    layer("googlenet.4d_5x5_reduce", "c=512,h=14,w=14,k=32", &[("GoogLeNet", 1)]),
    layer("googlenet.4d_5x5", "c=32,h=14,w=14,k=64,r=5,s=5,pt=2,pl=2,pb=2,pr=2", &[("GoogLeNet", 1)]),
    layer("googlenet.4e_1x1", "c=528,h=14,w=14,k=256", &[("GoogLeNet", 1)]),
    layer("googlenet.4e_3x3_reduce", "c=528,h=14,w=14,k=160", &[("GoogLeNet", 1)]),
    layer("googlenet.4e_5x5_reduce", "c=528,h=14,w=14,k=32", &[("GoogLeNet", 1)]),
    layer("googlenet.4e_5x5", "c=32,h=14,w=14,k=128,r=5,s=5,pt=2,pl=2,pb=2,pr=2", &[("GoogLeNet", 1)]),
    layer("googlenet.4e_pool_proj", "c=528,h=14,w=14,k=128", &[("GoogLeNet", 1)]),
    layer("googlenet.5a_3x3_reduce", "c=832,h=7,w=7,k=160", &[("GoogLeNet", 1)]),
    layer("googlenet.5a_3x3", "c=160,h=7,w=7,k=320,r=3,s=3,pt=1,pl=1,pb=1,pr=1", &[("GoogLeNet", 1)]),
    layer("googlenet.5a_5x5_reduce", "c=832,h=7,w=7,k=32", &[("GoogLeNet", 1)]),
    layer("googlenet.5a_5x5", "c=32,h=7,w=7,k=128,r=5,s=5,pt=2,pl=2,pb=2,pr=2", &[("GoogLeNet", 1)]),
    layer("googlenet.5a_pool_proj", "c=832,h=7,w=7,k=128", &[("GoogLeNet", 2)]),
    layer("googlenet.5b_1x1", "c=832,h=7,w=7,k=384", &[("GoogLeNet", 1)]),
    layer("googlenet.5b_3x3_reduce", "c=832,h=7,w=7,k=192", &[("GoogLeNet", 1)]),
    layer("googlenet.5b_5x5_reduce", "c=832,h=7,w=7,k=48", &[("GoogLeNet", 1)]),
    layer("resnet18.res3_3x3_s2", "c=64,h=56,w=56,k=128,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", &[("ResNet-18", 1)]),
    layer("resnet18.res3_branch1_s2", "c=64,h=56,w=56,k=128,sh=2,sw=2", &[("ResNet-18", 1)]),
    layer("resnet18.res4_3x3_s2", "c=128,h=28,w=28,k=256,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", &[("ResNet-18", 1)]),
    layer("resnet18.res4_branch1_s2", "c=128,h=28,w=28,k=256,sh=2,sw=2", &[("ResNet-18", 1)]),
    layer("resnet18.res5_3x3_s2", "c=256,h=14,w=14,k=512,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", &[("ResNet-18", 1)]),
    layer("resnet18.res5_branch1_s2", "c=256,h=14,w=14,k=512,sh=2,sw=2", &[("ResNet-18", 1)]),
    layer("resnet50.res3b_2a", "c=512,h=28,w=28,k=128", &[("ResNet-50", 3)]),
    layer("resnet50.res4a_2a", "c=512,h=28,w=28,k=256", &[("ResNet-50", 1)]),
    layer("resnet50.res4a_2b_s2", "c=256,h=28,w=28,k=256,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", &[("ResNet-50", 1)]),
    layer("resnet50.res4a_branch1_s2", "c=512,h=28,w=28,k=1024,sh=2,sw=2", &[("ResNet-50", 1)]),
    layer("resnet50.res5a_2a", "c=1024,h=14,w=14,k=512", &[("ResNet-50", 1)]),
    layer("resnet50.res5a_2b_s2", "c=512,h=14,w=14,k=512,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", &[("ResNet-50", 1)]),
    layer("resnet50.res5a_branch1_s2", "c=1024,h=14,w=14,k=2048,sh=2,sw=2", &[("ResNet-50", 1)]),
    layer("squeezenet1_1.fire3.squeeze", "c=128,h=55,w=55,k=16", &[("SqueezeNet 1.1", 1)]),
    layer("squeezenet1_1.fire4.e1x1", "c=32,h=27,w=27,k=128", &[("SqueezeNet 1.1", 2)]),
    layer("squeezenet1_1.fire5.squeeze", "c=256,h=27,w=27,k=32", &[("SqueezeNet 1.1", 1)]),
    layer("squeezenet1_1.fire6.squeeze", "c=256,h=13,w=13,k=48", &[("SqueezeNet 1.1", 1)]),
    layer("squeezenet1_1.fire6.e1x1", "c=48,h=13,w=13,k=192", &[("SqueezeNet 1.1", 2)]),
    layer("squeezenet1_1.fire7.squeeze", "c=384,h=13,w=13,k=48", &[("SqueezeNet 1.1", 1)]),
    layer("squeezenet1_1.fire8.squeeze", "c=384,h=13,w=13,k=64", &[("SqueezeNet 1.1", 1)]),
    layer("squeezenet1_1.fire8.e1x1", "c=64,h=13,w=13,k=256", &[("SqueezeNet 1.1", 2)]),
    layer("squeezenet1_1.fire9.squeeze", "c=512,h=13,w=13,k=64", &[("SqueezeNet 1.1", 1)]),
    layer("mobilenet_v1.block2_pw", "c=64,h=56,w=56,k=128", &[("MobileNet v1", 1)]),
    layer(
        "mobilenet_v1.block4_dw_s2",
        "c=1,h=56,w=56,k=1,r=3,s=3,g=128,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1",
        &[("MobileNet v1", 1)],
    ),
    layer("mobilenet_v1.block4_pw", "c=128,h=28,w=28,k=256", &[("MobileNet v1", 1)]),
    layer("mobilenet_v1.block5_dw", "c=1,h=28,w=28,k=1,r=3,s=3,g=256,pt=1,pl=1,pb=1,pr=1", &[("MobileNet v1", 1)]),
    layer("mobilenet_v1.block5_pw", "c=256,h=28,w=28,k=256", &[("MobileNet v1", 1)]),
    layer(
        "mobilenet_v1.block6_dw_s2",
        "c=1,h=28,w=28,k=1,r=3,s=3,g=256,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1",
        &[("MobileNet v1", 1)],
    ),
    layer("mobilenet_v1.block6_pw", "c=256,h=14,w=14,k=512", &[("MobileNet v1", 1)]),
    layer(
        "mobilenet_v1.block12_dw_s2",
        "c=1,h=14,w=14,k=1,r=3,s=3,g=512,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1",
        &[("MobileNet v1", 1)],
    ),
    layer("mobilenet_v1.block12_pw", "c=512,h=7,w=7,k=1024", &[("MobileNet v1", 1)]),
];
