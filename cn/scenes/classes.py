"""What solids can be: label words, with their classes in ADE20K and in COCO-Stuff.

ADE20K's ids count from 1 to 150 (its palette's index plus one; 0 is none), those of COCO-Stuff are indices of its 171
classes, 0 to 170. Neither has a class for everything, so a word stands for the class that fits best: in ADE20K all
animals are `animal`, a snowy ground is `earth`, toys without a class of their own are a `plaything`, a snowman is a
`sculpture`, a raft a `pier` and a train a `truck`; in COCO-Stuff a tower is a `building-other` and pigs, rabbits and
foxes are nothing.
"""

NONE = 255
"""The COCO-Stuff index of what is none of its classes."""

LABELS: dict[str, tuple[int, int]] = {
    "wall": (1, 161),  # wall, wall-other
    "building": (2, 84),  # building, building-other
    "sky": (3, 145),  # sky, sky-other
    "floor": (4, 105),  # floor, floor-tile
    "wooden floor": (4, 106),  # floor, floor-wood
    "tree": (5, 157),  # tree, tree
    "log": (5, 170),  # tree, wood
    "ceiling": (6, 90),  # ceiling, ceiling-other
    "road": (7, 137),  # road, road
    "bed": (8, 59),  # bed, bed
    "window": (9, 169),  # windowpane, window-other
    "grass": (10, 112),  # grass, grass
    "cabinet": (11, 86),  # cabinet, cabinet
    "sidewalk": (12, 128),  # sidewalk, pavement
    "person": (13, 0),  # person, person
    "earth": (14, 99),  # earth, dirt
    "leaves": (14, 117),  # earth, leaves
    "snow": (14, 147),  # earth, snow
    "door": (15, 100),  # door, door-stuff
    "table": (16, 60),  # table, dining table
    "mountain": (17, 123),  # mountain, mountain
    "plant": (18, 130),  # plant, plant-other
    "bush": (18, 85),  # plant, bush
    "potted plant": (18, 58),  # plant, potted plant
    "curtain": (19, 97),  # curtain, curtain
    "chair": (20, 56),  # chair, chair
    "car": (21, 2),  # car, car
    "water": (22, 166),  # water, water-other
    "painting": (23, 127),  # painting, paper
    "sofa": (24, 57),  # sofa, couch
    "shelf": (25, 144),  # shelf, shelf
    "house": (26, 116),  # house, house
    "sea": (27, 143),  # sea, sea
    "rug": (29, 140),  # rug, rug
    "field": (30, 99),  # field, dirt
    "fence": (33, 101),  # fence, fence
    "rock": (35, 138),  # rock, rock
    "lamp": (37, 118),  # lamp, light
    "cushion": (40, 129),  # cushion, pillow
    "well": (41, 150),  # base, stone
    "box": (42, 88),  # box, cardboard
    "crate": (42, 170),  # box, wood
    "signpost": (44, 170),  # signboard, wood
    "sand": (47, 142),  # sand, sand
    "fire": (50, 118),  # fireplace, light
    "path": (53, 113),  # path, gravel
    "stairs": (54, 149),  # stairs, stairs
    "pillow": (58, 129),  # pillow, pillow
    "bridge": (62, 83),  # bridge, bridge
    "bookcase": (63, 144),  # bookcase, shelf
    "flower": (67, 107),  # flower, flower
    "book": (68, 73),  # book, book
    "hill": (69, 115),  # hill, hill
    "bench": (70, 13),  # bench, bench
    "palm": (73, 157),  # palm, tree
    "boat": (77, 8),  # boat, boat
    "bus": (81, 5),  # bus, bus
    "light": (83, 118),  # light, light
    "truck": (84, 7),  # truck, truck
    "train": (84, 6),  # truck, train
    "tower": (85, 84),  # tower, building-other
    "streetlight": (88, 118),  # streetlight, light
    "airplane": (91, 4),  # airplane, airplane
    "pole": (94, 120),  # pole, metal
    "bottle": (99, 39),  # bottle, bottle
    "van": (103, 2),  # van, car
    "fountain": (105, 150),  # fountain, stone
    "umbrella": (107, 25),  # canopy, umbrella
    "plaything": (109, 131),  # plaything, plastic
    "instrument": (109, 148),  # plaything, solid-other
    "kite": (109, 33),  # plaything, kite
    "robot": (109, 120),  # plaything, metal
    "rocket": (109, 120),  # plaything, metal
    "teddy bear": (109, 77),  # plaything, teddy bear
    "barrel": (112, 170),  # barrel, wood
    "basket": (113, 170),  # basket, wood
    "tent": (115, 154),  # tent, tent
    "backpack": (116, 24),  # bag, backpack
    "suitcase": (116, 28),  # bag, suitcase
    "ball": (120, 32),  # ball, sports ball
    "balloon": (120, 131),  # ball, plastic
    "hot-air balloon": (120, 155),  # ball, textile-other
    "food": (121, 109),  # food, food-other
    "apple": (121, 47),  # food, apple
    "banana": (121, 46),  # food, banana
    "cake": (121, 55),  # food, cake
    "fruit": (121, 110),  # food, fruit
    "pumpkin": (121, 158),  # food, vegetable
    "pot": (126, 58),  # pot, potted plant
    "bowl": (126, 45),  # pot, bowl
    "bucket": (126, 120),  # pot, metal
    "cup": (126, 41),  # pot, cup
    "teapot": (126, 148),  # pot, solid-other
    "animal": (127, NONE),  # animal, none
    "bear": (127, 21),  # animal, bear
    "bird": (127, 14),  # animal, bird
    "cat": (127, 15),  # animal, cat
    "cow": (127, 19),  # animal, cow
    "dog": (127, 16),  # animal, dog
    "elephant": (127, 20),  # animal, elephant
    "giraffe": (127, 23),  # animal, giraffe
    "horse": (127, 17),  # animal, horse
    "sheep": (127, 18),  # animal, sheep
    "zebra": (127, 22),  # animal, zebra
    "bicycle": (128, 1),  # bicycle, bicycle
    "blanket": (132, 81),  # blanket, blanket
    "sculpture": (133, 150),  # sculpture, stone
    "sandcastle": (133, 142),  # sculpture, sand
    "snowman": (133, 147),  # sculpture, snow
    "vase": (136, 75),  # vase, vase
    "pier": (141, 132),  # pier, platform
    "clock": (149, 74),  # clock, clock
    "flag": (150, 80),  # flag, banner
}
"""Label word → ADE20K id and COCO-Stuff index; the comments name both classes."""

CLASSES: dict[str, int] = {word: ade for word, (ade, _) in LABELS.items()}
"""Label word → ADE20K id, 1 to 150."""
COCO: dict[str, int] = {word: coco for word, (_, coco) in LABELS.items()}
"""Label word → COCO-Stuff index, 0 to 170, or `NONE`."""
