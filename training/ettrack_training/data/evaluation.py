"""Lists the videos on which trackers are evaluated. They must not be used for training, even from another source.

The lists hold the sequence names of OTB-100, UAV123 (at 30 and 10 frames per second), VOT's short-term challenges up to
2022, its long-term challenges, and LaSOT's test split (`readers.lasot_split`), and names of copies in other data sets.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from .readers.lasot_split import TEST_SPLIT
from .records import Clip

OTB100 = """
    Basketball Biker Bird1 Bird2 BlurBody BlurCar1 BlurCar2 BlurCar3 BlurCar4 BlurFace BlurOwl Board Bolt Bolt2 Box
    Boy Car1 Car2 Car24 Car4 CarDark CarScale ClifBar Coke Couple Coupon Crossing Crowds Dancer Dancer2 David David2
    David3 Deer Diving Dog Dog1 Doll DragonBaby Dudek FaceOcc1 FaceOcc2 Fish FleetFace Football Football1 Freeman1
    Freeman3 Freeman4 Girl Girl2 Gym Human2 Human3 Human4 Human4-2 Human5 Human6 Human7 Human8 Human9 Ironman
    Jogging Jogging-1 Jogging-2 Jump Jumping KiteSurf Lemming Liquor Man Matrix Mhyang MotorRolling MountainBike
    Panda RedTeam Rubik Shaking Singer1 Singer2 Skater Skater2 Skating1 Skating2 Skating2-1 Skating2-2 Skiing Soccer
    Subway Surfer Suv Sylvester Tiger1 Tiger2 Toy Trans Trellis Twinnings Vase Walking Walking2 Woman
"""
UAV123 = """
    bike1 bike2 bike3 bird1 boat1 boat2 boat3 boat4 boat5 boat6 boat7 boat8 boat9 building1 building2 building3
    building4 building5 car1 car2 car3 car4 car5 car6 car7 car8 car9 car10 car11 car12 car13 car14 car15 car16 car17
    car18 car1_s car2_s car3_s car4_s group1 group2 group3 person1 person2 person3 person4 person5 person6 person7
    person8 person9 person10 person11 person12 person13 person14 person15 person16 person17 person18 person19
    person20 person21 person22 person23 person1_s person2_s person3_s truck1 truck2 truck3 truck4 uav1 uav2 uav3
    uav4 uav5 uav6 uav7 uav8 wakeboard1 wakeboard2 wakeboard3 wakeboard4 wakeboard5 wakeboard6 wakeboard7 wakeboard8
    wakeboard9 wakeboard10
"""
# Videos of which UAV123 evaluates several parts, with the number of parts.
UAV123_PARTS = """
    bird1 3 car1 3 car6 5 car8 2 car16 2 group1 4 group2 3 group3 4 person2 2 person4 2 person5 2 person7 2 person8
    2 person12 2 person14 3 person17 2 person19 3 truck4 2 uav1 3
"""
VOT = """
    agility animal ants1 ants3 bag ball ball1 ball2 ball3 basketball bicycle birds1 birds2 blanket bmx board bolt
    bolt1 bolt2 book bubble butterfly car car1 car2 cat1 cat2 conduction1 crabs1 crossing cup david diamond dinosaur
    diver drone drone1 drone_across drone_flip drunk face fernando fingers fish1 fish2 fish3 fish4 flamingo1 frisbee
    girl girl_mov glove godfather graduate gymnastics gymnastics1 gymnastics2 gymnastics3 gymnastics4 hand hand1
    hand02 hand2 handball1 handball2 handball3 helicopter hiking iceskater iceskater1 iceskater2 juice jogging jump
    kangaroo lamb leaves marathon marathon6 marching matrix monkey motocross1 motocross2 nature octopus pedestrian1
    pedestrian2 polarbear poolplayer1 rabbit rabbit2 racing road rowing shaking sheep sheep2 singer singer1 singer2
    singer3 skating snake soccer1 soccer2 soldier sphere sunshade surfing tennis tiger torus traffic
    transparent_fish tunnel wheel wiper woman zebrafish1
"""
VOT_LONG_TERM = """
    ballet bicycle bike1 bird1 boat bull car1 car3 car6 car8 car9 car16 carchase cat1 cat2 deer dog dragon f1
    following freesbiedog freestyle group1 group2 group3 helicopter horseride kitesurfing liverrun longboat nissan
    parachute person2 person4 person5 person7 person14 person17 person19 person20 rollerman sitcom skiing sup
    tightrope uav1 volkswagen warmup wingsuit yamaha
"""
# Copies under other names: wakeboard10 in a data set of vision4robotics, and videos of OTB and VOT in OpenTLD's data
# set.
RENAMED = "snowboarding4 06_car 01_david 02_jumping 03_pedestrian1 04_pedestrian2"

_LASOT = [
    f"{line.split()[0]}-{number}" for line in TEST_SPLIT.splitlines() if line.strip() for number in line.split()[1:]
]
_whole = UAV123_PARTS.split()
_PARTS = [
    f"{name}_{part}" for name, count in zip(_whole[::2], _whole[1::2], strict=True) for part in range(1, int(count) + 1)
]
BENCHMARKS = {
    "OTB-100": OTB100.split(),
    "UAV123": UAV123.split() + _PARTS,
    "VOT": VOT.split(),
    "VOT-LT": VOT_LONG_TERM.split(),
    "LaSOT's test split": _LASOT,
    "a benchmark, renamed": RENAMED.split(),
}
_OF_NAME: dict[str, str] = {}
for _benchmark, _names in BENCHMARKS.items():
    for _name in _names:
        _OF_NAME.setdefault(_name.casefold(), _benchmark)


def refuse_evaluation(clip: Clip, namesakes: Collection[str] = ()) -> None:
    """Raises ValueError for a video with the name of one on which trackers are evaluated.

    ``namesakes`` are names that are allowed, because the caller knows that these videos are different ones, or because
    the kind of their source asks for them (`readers.measured_videos`). Photographs are not checked, because their
    folders are named after categories.
    """
    if len(clip.frames) < 2:
        return
    allowed = {name.casefold() for name in namesakes}
    for name in _names_of(clip):
        benchmark = _OF_NAME.get(name.casefold())
        if benchmark and name.casefold() not in allowed:
            raise ValueError(
                f"clip {clip.name}: {name} is a sequence of {benchmark}, on which trackers are measured; expected "
                f"others to learn from. Leave it out, or say --namesake {name} if it only shares the name"
            )


def _names_of(clip: Clip) -> list[str]:
    """The possible names of a video: the reader's name, and the names of the two folders above its frames."""
    folder = Path(clip.frames[0]).parent
    return list(dict.fromkeys([clip.name, Path(clip.name).name, folder.name, folder.parent.name]))
