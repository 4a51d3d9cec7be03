import { handOff } from './protocols.js'
import { testMutants } from './test-protocol.js'

testMutants(handOff)
