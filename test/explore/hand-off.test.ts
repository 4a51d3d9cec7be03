import { handOff } from './protocols.js'
import { testSchedules } from './test-protocol.js'

testSchedules(handOff)
