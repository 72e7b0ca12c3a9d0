"""A ground that is ready for executions."""

from model.exploring.ground import Ground
from model.exploring.small_world import SmallWorld
from model.exploring.world import World


def prepared_ground(small: SmallWorld) -> Ground:
    """A ground whose Redis knows the scripts: one buyer of each kind has done all there is to do.

    (That a restarted server has forgotten them is explored; that a new one never knew is not.)
    """
    ground = Ground(small)
    if ground.fake is not None:
        for visit in (*dict.fromkeys(small.visits), "pay", "release"):
            world = World(ground, visits=(visit,))
            while (choices := world.moves()) and not world.crashed:
                world.take(choices[0])
            world.settle()
            world.close()
            ground.scripts.update(ground.fake.script_cache)
    return ground
