import { handOff } from './protocols.js'
import { testProtocol } from './test-protocol.js'

testProtocol(handOff)
